// Lint: typescript-eslint at its strictest; a forgotten `await`, an unsafe `any` and console output in the daemon are errors.
import js from '@eslint/js';
import tseslint from 'typescript-eslint';

const environment = { object: 'process', property: 'env', message: 'Read it in src/config.' };
const timers = 'Take a Timers (src/kernel/timers.ts).';
const clock = 'Take a Clock or MonotonicClock (src/kernel/clock.ts).';
const random = 'Take a Random (src/kernel/random.ts).';
const machineGlobals = [
  ...['setTimeout', 'setInterval', 'setImmediate', 'clearTimeout', 'clearInterval'].map((name) => ({
    name,
    message: timers,
  })),
  { name: 'performance', message: clock },
];
const machineProperties = [
  { object: 'Date', property: 'now', message: clock },
  { object: 'process', property: 'hrtime', message: clock },
  { object: 'process', property: 'uptime', message: clock },
  { object: 'Math', property: 'random', message: random },
];
const machineImports = [
  ...['timers', 'timers/promises'].flatMap((name) => [name, `node:${name}`]).map((name) => ({ name, message: timers })),
  { name: 'node:perf_hooks', importNames: ['performance'], message: clock },
  { name: 'node:crypto', importNames: ['randomUUID', 'randomBytes', 'randomInt'], message: random },
];
const machinesOwn = {
  regex: '/kernel/(clock|timers|random)\\.js$',
  importNames: ['systemClock', 'systemTimers', 'systemRandom'],
  message: 'Take the port; the machine’s own is chosen where a process begins.',
};

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', '.hsm-bridge/', '.setup/', '.dependency-cruiser.cjs'] },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [...tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-floating-promises': ['error', { ignoreVoid: true }],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      'no-console': 'error',
      eqeqeq: 'error',
    },
  },
  { files: ['src/cli/**/*.ts', 'src/main.ts', 'test/**/*.ts'], rules: { 'no-console': 'off' } },
  {
    // Only the configuration reads the environment; only the kernel asks the machine for time, waiting and chance, so that a simulation can.
    files: ['src/**/*.ts'],
    rules: {
      'no-restricted-properties': ['error', environment, ...machineProperties],
      'no-restricted-globals': ['error', ...machineGlobals],
      'no-restricted-imports': ['error', { paths: machineImports, patterns: [machinesOwn] }],
      'no-restricted-syntax': [
        'error',
        { selector: "NewExpression[callee.name='Date'][arguments.length=0]", message: 'Ask a Clock.' },
      ],
    },
  },
  { files: ['src/config/**/*.ts'], rules: { 'no-restricted-properties': ['error', ...machineProperties] } },
  {
    // The machine's own, behind the ports.
    files: ['src/kernel/{clock,timers,random}.ts'],
    rules: {
      'no-restricted-properties': ['error', environment],
      'no-restricted-globals': 'off',
      'no-restricted-imports': 'off',
      'no-restricted-syntax': 'off',
    },
  },
  {
    // Where processes begin, and the machine's own are chosen: a gateway, a token host, a command, the supervisor.
    files: [
      'src/compose.ts',
      'src/token/host/main.ts',
      'src/token/host/performing-thread.ts',
      'src/cli/**/*.ts',
      'src/process/supervisor.ts',
    ],
    rules: { 'no-restricted-imports': ['error', { paths: machineImports }] },
  },
  {
    files: ['test/**/*.ts'],
    rules: { '@typescript-eslint/no-non-null-assertion': 'off', '@typescript-eslint/require-await': 'off' },
  },
  {
    files: ['**/*.{js,mjs,cjs}'],
    languageOptions: {
      globals: {
        process: 'readonly',
        console: 'readonly',
        Buffer: 'readonly',
        URL: 'readonly',
        setTimeout: 'readonly',
        setInterval: 'readonly',
        clearInterval: 'readonly',
        setImmediate: 'readonly',
        fetch: 'readonly',
        performance: 'readonly',
        AbortSignal: 'readonly',
        module: 'writable',
      },
    },
  },
);
