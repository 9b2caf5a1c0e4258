// How a request and its response look in CloudTrail's records: members in lower camel case at every depth, dates in words, and nothing of
// what is secret.
import { lowerFirst } from './constraints.js';
import { isSecret, type Members, type Shape } from './shape.js';
import { isAbsent, membersPrinter, type Codec } from './write.js';

const dateFormat = new Intl.DateTimeFormat('en-US', { dateStyle: 'medium', timeStyle: 'medium', timeZone: 'UTC' });

const cloudTrail: Codec = {
  nameOf: lowerFirst,
  // `Aug 10, 2022, 10:38:27 PM`: ICU puts a narrow space before AM and PM.
  time: (ms) => `"${dateFormat.format(ms).replaceAll('\u202f', ' ')}"`,
  secrets: false,
};

/** The named members as one JSON object. `RecordedMember` is the type of names that may be asked for. */
export type RecordWriter = (value: object) => string;

export function recordWriter(members: Members, names: readonly string[]): RecordWriter {
  return membersPrinter(recorded(members, names), cloudTrail);
}

/** The same without what is false or empty, as CloudTrail leaves out what the caller did not send. */
export function sparseRecordWriter(members: Members, names: readonly string[]): RecordWriter {
  return membersPrinter(recorded(members, names), cloudTrail, notSent);
}

function recorded(members: Members, names: readonly string[]): [name: string, shape: Shape][] {
  return names.map((name) => {
    const shape = members[name];
    // `RecordedMember` says so already; a cast must not undo it.
    if (shape === undefined || isSecret(shape)) throw new Error(`${name} is not for the record`);
    return [name, shape];
  });
}

function notSent({ kind }: Shape): (value: unknown) => boolean {
  if (kind === 'boolean') return (value) => value !== true;
  if (kind === 'list' || kind === 'map' || kind === 'structure')
    return (value) => value === undefined || isEmpty(value as object);
  return isAbsent;
}

function isEmpty(value: object): boolean {
  for (const _ in value) return false;
  return true;
}
