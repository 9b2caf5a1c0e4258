// AWS's published model of KMS, as the AWS CLI that the tests install carries it (botocore's service-2.json). It is read, never written.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { newerValues } from './exceptions.js';

export interface Reference {
  readonly shape: string;
}

/** What bounds a shape: lengths in characters, bytes or members; values of numbers. */
interface Constraints {
  readonly min?: number;
  readonly max?: number;
  readonly pattern?: string;
  readonly enum?: readonly string[];
}

export interface Structure {
  readonly type: 'structure';
  readonly members: Readonly<Record<string, Reference>>;
  readonly required?: readonly string[];
  readonly exception?: boolean;
  readonly fault?: boolean;
}
export interface List extends Constraints {
  readonly type: 'list';
  readonly member: Reference;
}
export interface StringMap extends Constraints {
  readonly type: 'map';
  readonly key: Reference;
  readonly value: Reference;
}
export interface Scalar extends Constraints {
  readonly type: 'string' | 'blob' | 'integer' | 'long' | 'boolean' | 'timestamp';
}
export type Shape = Structure | List | StringMap | Scalar;

export interface Operation {
  readonly name: string;
  readonly input: Reference;
  readonly output?: Reference;
  readonly errors: readonly Reference[];
}

interface Model {
  readonly metadata: { readonly targetPrefix: string; readonly jsonVersion: string };
  readonly operations: Readonly<Record<string, Operation>>;
  readonly shapes: Readonly<Record<string, Shape>>;
}

/** The CLI is a virtual environment, or a folder of packages where Python makes none. */
function findModel(): string {
  const library = resolve('.setup/awscli/lib');
  const roots = existsSync(library)
    ? [library, ...readdirSync(library).map((name) => join(library, name, 'site-packages'))]
    : [];
  const found = roots
    .flatMap((root) => [join(root, 'botocore'), join(root, 'awscli/botocore')])
    .flatMap((folder) =>
      ['service-2.json.gz', 'service-2.json'].map((file) => join(folder, 'data/kms/2014-11-01', file)),
    )
    .find((path) => existsSync(path));
  if (found === undefined) throw new Error(`there is no model of KMS below ${library}: run scripts/setup --tests`);
  return found;
}

function readModel(): Model {
  const path = findModel();
  const bytes = readFileSync(path);
  return JSON.parse((path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8')) as Model;
}

export const model = readModel();

export function shapeOf({ shape }: Reference): Shape {
  const found = model.shapes[shape];
  if (found === undefined) throw new Error(`the model has no shape ${shape}`);
  const newer = newerValues[shape];
  return newer === undefined || found.type !== 'string' ? found : { ...found, enum: [...(found.enum ?? []), ...newer] };
}

/** Without what is newer than the model. */
export function enumOfModel(shape: string): readonly string[] {
  const found = model.shapes[shape];
  return found?.type === 'string' ? (found.enum ?? []) : [];
}

export function structureOf(reference: Reference): Structure {
  const shape = shapeOf(reference);
  if (shape.type !== 'structure') throw new Error(`${reference.shape} is no structure`);
  return shape;
}
