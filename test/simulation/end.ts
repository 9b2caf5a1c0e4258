// What must be so when everything is calm again.
import { join } from 'node:path';
import Database from 'libsql';
import { verifyLane, findLanes } from '../../src/audit/verify.js';
import { segmentsAmong, segmentPath } from '../../src/audit/segment.js';
import { daemonKeys } from '../../src/ports/token.js';
import { Caller } from './callers.js';
import type { Daemon } from './daemon.js';
import { linesOf, type AuditLine, type Known, type KnownKey } from './known.js';
import type { Process } from './process.js';
import type { World } from './world.js';

/** Every answer still holds: keys are in the state that was answered, ciphertexts open, aliases name what they named. */
export async function expectAnswersHold(world: World, daemon: Daemon, known: Known): Promise<void> {
  const caller = new Caller(99, world, daemon, known);
  for (const key of known.keys) await expectKey(caller, known, key);
  for (const [AliasName, { id, isSure }] of known.aliases) {
    if (!isSure) continue;
    const outcome = await caller.call('DescribeKey', { KeyId: AliasName });
    const is =
      outcome === 'lost' || 'error' in outcome ? undefined : (outcome.json['KeyMetadata'] as { KeyId: string }).KeyId;
    // A key that goes takes its aliases with it.
    const isDeleted = known.keys.some((key) => key.id === id && mayBeGone(key));
    if (is !== id && !isDeleted) known.violated(`${AliasName} names ${is}, not ${id}`);
  }
}

const mayBeGone = ({ state, perhaps }: KnownKey): boolean =>
  [state, ...perhaps].some((each) => each === 'Deleted' || each === 'PendingDeletion');

async function expectKey(caller: Caller, known: Known, key: KnownKey): Promise<void> {
  const described = await caller.call('DescribeKey', { KeyId: key.id });
  if (described === 'lost') {
    known.violated('DescribeKey is not answered in the calm');
    return;
  }
  const may = new Set([key.state, ...key.perhaps]);
  // One that was to be deleted, or was perhaps, is gone where there was time for it.
  if ('error' in described) {
    if (described.error.code !== 'NotFoundException' || !mayBeGone(key) || key.scheduledAtMs === undefined)
      known.violated(`${key.id}, ${[...may].join(' or ')}: ${described.error.code} ${described.error.message}`);
    return;
  }
  const { KeyState: state } = described.json['KeyMetadata'] as { KeyState: KnownKey['state'] };
  if (!may.has(state)) known.violated(`${key.id} is ${state}, not ${[...may].join(' or ')}`);
  if (!may.has(state) || state === 'PendingDeletion') return;
  if (state === 'Disabled') await caller.call('EnableKey', { KeyId: key.id });
  for (const { blob, plaintext } of key.ciphertexts) {
    const opened = await caller.call('Decrypt', { CiphertextBlob: blob });
    if (opened === 'lost' || 'error' in opened || opened.json['Plaintext'] !== plaintext)
      known.violated(
        `a ciphertext of ${key.id} does not open: ${opened === 'lost' ? opened : 'error' in opened ? opened.error.code : 'another plaintext'}`,
      );
  }
}

/** Each object of the token has its row and each row its object; nothing is half done. The daemon is gone. */
export function expectNothingLeft({ home, token }: World, known: Known): void {
  const database = new Database(join(home, 'store', 'hsm-bridge.db'));
  const all = (text: string): Record<string, unknown>[] => database.prepare(text).all() as Record<string, unknown>[];
  const own = Object.values(daemonKeys).map((ckaId) => ckaId.toString('hex'));
  const objects = token.keys().filter((ckaId) => !own.includes(ckaId));
  const rows = all('select cka_id from backing_keys').map((row) => String(row['cka_id']));
  const unfinished = all(
    `select key_id, status, pending_material_id from keys
     where status in ('creating', 'deleting') or pending_material_id is not null or material_missing = 1`,
  );
  database.close();
  const describe = (what: string, ids: readonly string[]): void => {
    if (ids.length > 0) known.violated(`${what}: ${ids.join(', ')}`);
  };
  describe(
    'objects that no row names',
    objects.filter((ckaId) => !rows.includes(ckaId)),
  );
  describe(
    'rows without their object',
    rows.filter((ckaId) => !objects.includes(ckaId)),
  );
  describe(
    'objects of the same CKA_ID',
    objects.filter((ckaId, at) => objects.indexOf(ckaId) !== at),
  );
  describe(
    'unfinished keys',
    unfinished.map((row) => JSON.stringify(row)),
  );
}

/** The chain holds, every change has its end, and each answer exactly one record. */
export async function expectSoundLog(world: World, process: Process, known: Known): Promise<void> {
  const disk = world.disk.of(process, world.home);
  const directory = join(world.home, 'audit');
  const { lanes } = await findLanes(directory, disk);
  const events = new Map<string, AuditLine[]>();
  for (const lane of lanes) {
    const { damage, openIntents } = await verifyLane({ directory, lane, disk, parse: true });
    if (damage !== undefined) known.violated(`lane ${lane} is damaged: ${damage.reason}`);
    if (openIntents > 0) known.violated(`lane ${lane} has ${openIntents} changes without an end`);
    const folder = join(directory, `lane-${lane}`);
    for (const segment of segmentsAmong(await disk.list(folder))) {
      const path = segmentPath(folder, segment);
      const text = await disk.read(path, 0, (await disk.size(path)) ?? 0);
      for (const line of linesOf(text.toString())) {
        const { requestID } = line.record;
        if (line.kind === 'event' && requestID !== undefined)
          events.set(requestID, [...(events.get(requestID) ?? []), line]);
      }
    }
  }
  for (const [requestId, lines] of events)
    if (lines.length > 1)
      known.violated(`${lines.length} events of one call: ${lines[0]?.record.eventName} ${requestId}`);
  for (const [requestId, { name, error }] of known.answers) {
    const [line] = events.get(requestId) ?? [];
    if (error === undefined && line?.record.errorCode !== undefined)
      known.violated(`${name} succeeded and is recorded as failed`);
    if (error === undefined && line === undefined) known.violated(`the record of an answered ${name} is gone`);
  }
}
