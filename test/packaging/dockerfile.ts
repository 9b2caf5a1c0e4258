// Reads a Dockerfile as far as this project's uses the language: stages of instructions, comments and continued lines; nothing is expanded.

export interface Instruction {
  /** In capitals: RUN, COPY … */
  readonly keyword: string;
  /** What follows the keyword, continued lines joined. */
  readonly text: string;
}

export interface Stage {
  readonly image: string;
  readonly name: string | undefined;
  readonly instructions: readonly Instruction[];
}

export interface Copy {
  /** The stage copied from; undefined: the build context. */
  readonly from: string | undefined;
  readonly sources: readonly string[];
  readonly target: string;
}

/** Throws on what stands before the first FROM. */
export function parseDockerfile(text: string): readonly Stage[] {
  const stages: { image: string; name: string | undefined; instructions: Instruction[] }[] = [];
  for (const instruction of instructionsOf(text)) {
    if (instruction.keyword === 'FROM') {
      const [image = '', , name] = instruction.text.split(/\s+/);
      stages.push({ image, name, instructions: [] });
    } else {
      const stage = stages.at(-1);
      if (stage === undefined) throw new Error(`${instruction.keyword} stands before the first FROM`);
      stage.instructions.push(instruction);
    }
  }
  return stages;
}

export function parseCopy({ text }: Instruction): Copy {
  const words = text.split(/\s+/);
  const from = words[0]?.startsWith('--from=') === true ? words.shift()?.slice('--from='.length) : undefined;
  const target = words.pop() ?? '';
  return { from, sources: words, target };
}

/** ENV's `NAME=value NAME=value`. */
export function parseEnv({ text }: Instruction): Readonly<Record<string, string>> {
  return Object.fromEntries(text.split(/\s+/).map((pair) => pair.split('=', 2) as [string, string]));
}

/** The JSON form of CMD, ENTRYPOINT, VOLUME and HEALTHCHECK's CMD: the only one that starts no shell. */
export function parseExec(text: string): readonly string[] {
  return JSON.parse(text.slice(text.indexOf('['))) as string[];
}

function instructionsOf(text: string): Instruction[] {
  const lines = text.split('\n').filter((line) => !/^\s*(#|$)/.test(line));
  return lines
    .join('\n')
    .replaceAll(/\\\n/g, ' ')
    .split('\n')
    .map((line) => {
      const [, keyword = '', rest = ''] = /^\s*(\S+)\s+(.*)$/.exec(line) ?? [];
      return { keyword: keyword.toUpperCase(), text: rest.trim() };
    });
}
