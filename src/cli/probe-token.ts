// Looks at a PKCS#11 module from a process of its own, because a vendor's library may crash, hang or leave threads behind. It never logs
// in: a wrong PIN would cost one of the token's few attempts.
import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';

export type Probe = { readonly labels: readonly string[] } | { readonly problem: string };

/** Prints the labels of initialised tokens as JSON. argv: path of pkcs11js, path of the module, its init string or ''. */
const script = `
  const { PKCS11, CKF_TOKEN_INITIALIZED, CKF_OS_LOCKING_OK } = require(process.argv[1]);
  const module = new PKCS11();
  module.load(process.argv[2]);
  // pkcs11js cuts off the last character of libraryParameters: a space is there to be lost.
  if (process.argv[3] === '') module.C_Initialize();
  else module.C_Initialize({ flags: CKF_OS_LOCKING_OK, libraryParameters: process.argv[3] + ' ' });
  const tokens = module.C_GetSlotList(true).map((slot) => module.C_GetTokenInfo(slot));
  const made = tokens.filter(({ flags }) => (flags & CKF_TOKEN_INITIALIZED) !== 0);
  console.log(JSON.stringify(made.map(({ label }) => label.trimEnd())));
  module.C_Finalize();
`;

/** The labels of a module's initialised tokens. `environment`: what the token host would have. */
export async function probeModule(
  modulePath: string,
  environment: Readonly<Record<string, string>>,
  initString = '',
): Promise<Probe> {
  const { output, problem } = await runNode(script, [pkcs11Path(), modulePath, initString], environment);
  if (problem !== undefined) return { problem };
  return { labels: JSON.parse(output) as string[] };
}

/** Whether the native part of pkcs11js loads in this Node. */
export async function bindingProblem(): Promise<string | undefined> {
  return (await runNode('require(process.argv[1])', [pkcs11Path()], {})).problem;
}

function pkcs11Path(): string {
  try {
    return createRequire(import.meta.url).resolve('pkcs11js');
  } catch {
    return 'pkcs11js';
  }
}

function runNode(
  code: string,
  words: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<{ output: string; problem: string | undefined }> {
  const options = { env: { ...environment }, timeout: 20_000, killSignal: 'SIGKILL' } as const;
  return new Promise((resolve) => {
    execFile(process.execPath, ['-e', code, ...words], options, (error, stdout, stderr) => {
      let problem: string | undefined;
      if (error?.killed === true) problem = 'it did not answer within 20 s';
      else if (error !== null) {
        const line = stderr.split('\n').find((candidate) => candidate.includes('Error: '));
        problem = line?.trim() ?? `it ended with ${error.signal ?? `exit code ${error.code ?? 'unknown'}`}`;
      }
      resolve({ output: stdout, problem });
    });
  });
}
