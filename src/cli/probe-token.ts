// Looks at a PKCS#11 module from a process of its own, because a vendor's library may crash, hang or leave threads behind. It never logs
// in: a wrong PIN would cost one of the token's few attempts.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export type Probe = { readonly labels: readonly string[] } | { readonly problem: string };

const program = fileURLToPath(new URL('../token/host/list-labels.js', import.meta.url));

/** The labels of a module's initialised tokens. `environment`: what the token host would have. */
export async function probeModule(
  modulePath: string,
  environment: Readonly<Record<string, string>>,
  initString = '',
): Promise<Probe> {
  const { output, problem } = await run([modulePath, initString], environment);
  if (problem !== undefined) return { problem };
  return { labels: JSON.parse(output) as string[] };
}

/** Whether the native part of pkcs11js loads in this Node. */
export async function bindingProblem(): Promise<string | undefined> {
  return (await run([], {})).problem;
}

function run(
  words: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<{ output: string; problem: string | undefined }> {
  const options = { env: { ...environment }, timeout: 20_000, killSignal: 'SIGKILL' } as const;
  return new Promise((resolve) => {
    execFile(process.execPath, [program, ...words], options, (error, stdout, stderr) => {
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
