// The whole program (dist/main.js) in a folder of the test's, and a SoftHSM token store for it there.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { softHsm } from '../support/inside.js';
import { type Daemon, startNode } from './daemon.js';

export function startProgram(words: readonly string[], environment: NodeJS.ProcessEnv, folder: string): Daemon {
  return startNode([resolve('dist/main.js'), ...words], { ...process.env, ...environment }, folder);
}

/** An empty store: the environment that names it to SoftHSM, and OpenSC's pkcs11-tool on it. */
export function makeTokenStore(folder: string) {
  const objects = join(folder, 'objects');
  const environment = { SOFTHSM2_CONF: join(folder, 'softhsm2.conf') };
  mkdirSync(objects);
  writeFileSync(environment.SOFTHSM2_CONF, readFileSync('softhsm.conf', 'utf8').replace('@TOKENS@', objects));
  const tool = (...words: readonly string[]): void => {
    const env = { ...process.env, ...environment };
    execFileSync('pkcs11-tool', ['--module', softHsm(), ...words], { env, stdio: 'ignore' });
  };
  return { environment, tool };
}
