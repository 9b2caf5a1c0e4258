// Import rules: default deny. Each folder lists what it may import; anything not listed is an error.
const may = {
  kernel: ['kernel'],
  model: ['kernel', 'model'],
  shapes: ['kernel', 'shapes'],
  policy: ['kernel', 'model', 'policy'],
  ports: ['kernel', 'model', 'ports'],
  operations: ['kernel', 'model', 'shapes', 'policy', 'ports', 'operations'],
  pipeline: ['kernel', 'model', 'policy', 'ports', 'operations', 'pipeline'],
  'facades/admin': ['kernel', 'model', 'ports', 'facades/admin'],
  authn: ['kernel', 'model', 'ports', 'authn'],
  token: ['kernel', 'model', 'ports', 'config/processes', 'token'],
  store: ['kernel', 'model', 'ports', 'store'],
  audit: ['kernel', 'model', 'ports', 'audit'],
  gateway: [
    'kernel',
    'model',
    'ports',
    'config',
    'pipeline',
    'operations',
    'process',
    'audit',
    'token',
    'facades',
    'gateway',
  ],
  process: ['kernel', 'model', 'ports', 'config', 'process'],
  config: ['kernel', 'model', 'config'],
  cli: ['kernel', 'model', 'ports', 'config', 'process', 'audit', 'cli'],
};

// Of any façade: the line, and no other façade.
const everyFacade = '^src/facades/([^/]+)/';
const aFacadeMay = ['kernel', 'model', 'shapes', 'ports', 'operations', 'pipeline'];

const packages = {
  pkcs11js: ['token'],
  'graphene-pk11': ['token'],
  libsql: ['store'],
  kysely: ['store'],
  express: ['facades/admin'],
  'prom-client': ['process'],
  winston: ['process'],
  zod: ['config', 'token'],
  yaml: ['config'],
  commander: ['cli'],
};

const src = (place) => `^src/${place}(/|[.]ts$)`;

module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    { name: 'no-unresolved', severity: 'error', from: {}, to: { couldNotResolve: true } },
    ...Object.entries(may).map(([folder, allowed]) => ({
      name: `${folder}-imports`,
      severity: 'error',
      from: { path: src(folder) },
      to: { path: '^src/', pathNot: allowed.map(src) },
    })),
    {
      name: 'facades-imports',
      severity: 'error',
      from: { path: everyFacade },
      to: { path: '^src/', pathNot: [...aFacadeMay.map(src), '^src/facades/$1/'] },
    },
    {
      name: 'unknown-folder',
      severity: 'error',
      from: { path: '^src/', pathNot: [...Object.keys(may).map(src), everyFacade, '^src/(main|compose)\\.ts$'] },
      to: {},
    },
    {
      name: 'nobody-imports-main',
      severity: 'error',
      from: { pathNot: '^src/main\\.ts$' },
      to: { path: '^src/(main|compose)\\.ts$' },
    },
    ...Object.entries(packages).map(([name, folders]) => ({
      name: `${name}-only-in-its-place`,
      severity: 'error',
      from: { path: '^src/', pathNot: folders.map(src) },
      to: { path: `node_modules/${name}/` },
    })),
    {
      name: 'unlisted-package',
      severity: 'error',
      from: { path: '^src/' },
      to: {
        path: 'node_modules/',
        pathNot: [...Object.keys(packages).map((n) => `node_modules/${n}/`), 'node_modules/@types/'],
      },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};
