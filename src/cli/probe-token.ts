// Looks at a PKCS#11 module from a process of its own, because a vendor's library may crash, hang or leave threads behind. It never logs
// in: a wrong PIN would cost one of the token's few attempts.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** What was asked for, or why there is no answer. */
export type Probe<Answer> = Answer | { readonly problem: string };

/** As the token host would run: its environment and its working directory. */
export interface Surroundings {
  readonly environment: Readonly<Record<string, string>>;
  readonly cwd: string;
}

/** Where a profile looks for its module, and what it gives C_Initialize. */
export interface ModulePlaces {
  readonly paths: readonly string[];
  readonly initString: string;
}

const program = fileURLToPath(new URL('../token/host/list-labels.js', import.meta.url));

/** Reads a vendor's profile as the token host does. */
export async function probeProfile(profilePath: string, surroundings: Surroundings): Promise<Probe<ModulePlaces>> {
  const { output, problem } = await run(['profile', profilePath], surroundings);
  return problem === undefined ? (JSON.parse(output) as Probe<ModulePlaces>) : { problem };
}

/** The labels of a module's initialised tokens. */
export async function probeModule(
  modulePath: string,
  initString: string,
  surroundings: Surroundings,
): Promise<Probe<{ readonly labels: readonly string[] }>> {
  const { output, problem } = await run(['labels', modulePath, initString], surroundings);
  return problem === undefined ? { labels: JSON.parse(output) as string[] } : { problem };
}

/** Whether the native part of pkcs11js loads in this Node. */
export async function bindingProblem(): Promise<string | undefined> {
  return (await run([], { environment: {}, cwd: '/' })).problem;
}

function run(
  words: readonly string[],
  { environment, cwd }: Surroundings,
): Promise<{ output: string; problem: string | undefined }> {
  const options = { env: { ...environment }, cwd, timeout: 20_000, killSignal: 'SIGKILL' } as const;
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
