// The commands of `hsm-bridge`: what is typed becomes a configuration and a daemon, and what goes wrong becomes one line and an exit code.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import { ConfigurationError, type DaemonConfig } from '../config/daemon.js';
import { developmentHome, loadDevelopment, loadFile, packageRoot, reduceEnvironment } from '../config/load.js';
import { FatalError } from '../process/fatal.js';
import { createLog } from '../process/log.js';
import { runDaemon } from '../process/supervisor.js';

/** docs/configuration.md, "Exit codes". */
const exitCodes = { ok: 0, failed: 1, usage: 2 } as const;

/** Runs one command to its end; `words` are the arguments after the program's name. Returns the exit code. */
export async function runCommand(words: readonly string[]): Promise<number> {
  let code: number = exitCodes.ok;
  const program = new Command('hsm-bridge')
    .description('The AWS KMS API in front of a PKCS#11 hardware security module.')
    .exitOverride();
  program
    .command('dev')
    .description('run in development mode against SoftHSM, in the foreground (settings: HSM_BRIDGE_* variables)')
    .action(async () => {
      code = await run(loadDevelopment());
    });
  program
    .command('serve')
    .description('run as a service')
    .requiredOption('--config <file>', 'configuration file (YAML, docs/configuration.md)')
    .action(async ({ config }: { config: string }) => {
      code = await run(await loadFile(config));
    });
  program
    .command('doctor')
    .description('look for the commonest set-up mistakes and say what to type')
    .option('--config <file>', 'check this file instead of development mode')
    .action(async ({ config }: { config?: string }) => {
      const { diagnose } = await import('./doctor.js');
      const findings = await diagnose(async () => (config === undefined ? loadDevelopment() : await loadFile(config)));
      for (const { subject, problem, note } of findings) {
        console.log(problem === undefined ? `ok       ${subject}${note ?? ''}` : `problem  ${subject}: ${problem}`);
      }
      code = findings.some(({ problem }) => problem !== undefined) ? exitCodes.failed : exitCodes.ok;
    });
  const audit = program.command('audit').description('look at the audit log');
  audit
    .command('verify')
    .description('verify the audit log, offline; exit code 0: sound, 1: damaged, 2: could not look')
    .option('--home <folder>', 'what a daemon wrote (default: HSM_BRIDGE_HOME or .hsm-bridge)')
    .option('--json', 'print one JSON document')
    .action(async ({ home, json }: { home?: string; json?: true }) => {
      const { verifyAuditLog } = await import('./audit-verify.js');
      const verdict = await verifyAuditLog({
        home: home ?? developmentHome(),
        json: json === true,
        print: (line) => console.log(line),
        stderr: process.stderr,
      });
      code = { sound: exitCodes.ok, damaged: exitCodes.failed, unreadable: exitCodes.usage }[verdict];
    });
  program
    .command('confirm-clock')
    .description("say that the machine's clock is right, when the daemon doubts it and holds scheduled deletions")
    .requiredOption('--home <folder>', "the daemon's home")
    .action(async ({ home }: { home: string }) => {
      const { confirmClock } = await import('./confirm-clock.js');
      console.log(`confirmed: it is ${new Date(confirmClock(home)).toISOString()}`);
    });
  program
    .command('version')
    .description('print the version')
    .action(() => console.log(version()));

  try {
    await program.parseAsync([...words], { from: 'user' });
    return code;
  } catch (error) {
    return explain(error);
  }
}

async function run(config: DaemonConfig): Promise<number> {
  const log = createLog('supervisor', config.mode === 'dev' ? 'text' : 'json', config.logLevel);
  const drained = await runDaemon({
    config,
    entry: {
      script: join(packageRoot, 'dist/main.js'),
      gatewayArguments: ['gateway'],
      tokenHostArguments: ['token-host'],
    },
    environment: reduceEnvironment(config.mode),
    log,
    print: (text) => void process.stdout.write(text),
  });
  return drained ? exitCodes.ok : exitCodes.failed;
}

function explain(error: unknown): number {
  // commander has printed its own line already.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  if (error instanceof ConfigurationError) {
    console.error(`hsm-bridge: ${error.message}`);
    return exitCodes.usage;
  }
  if (error instanceof FatalError) {
    console.error(`hsm-bridge: ${error.message}`);
    return exitCodes.failed;
  }
  throw error;
}

function version(): string {
  const manifest = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as { version: string };
  return manifest.version;
}
