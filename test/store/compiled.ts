// Compiles one test program with what it imports, so that real processes can run it (Node 20 reads no TypeScript).
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');

export interface Compiled {
  /** The JavaScript file to run. */
  readonly program: string;
  dispose(): void;
}

/** `source`: relative to the repository. */
export function compiled(source: string): Compiled {
  const folder = mkdtempSync(join(tmpdir(), 'hsmb-compiled-'));
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  const config = {
    extends: join(root, 'tsconfig.json'),
    // Types are checked elsewhere, and over the whole source.
    compilerOptions: { noEmit: false, noCheck: true, incremental: false, rootDir: root, outDir: folder, types: [] },
    files: [join(root, source)],
    include: [],
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
  execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', join(folder, 'tsconfig.json')], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  return {
    program: join(folder, source.replace(/\.ts$/, '.js')),
    dispose: () => rmSync(folder, { recursive: true, force: true }),
  };
}
