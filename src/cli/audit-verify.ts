// `hsm-bridge audit verify`: whether the audit log of a home holds, for whoever must rely on it. It needs no daemon, no token and no
// network, writes nothing, and may be run beside a daemon. All it prints of the log is numbers, hashes, times and names made harmless.
import { join } from 'node:path';
import type { BadLine } from '../audit/chain.js';
import type { LaneProgress, LaneVerdict } from '../audit/verify.js';
import { systemClock } from '../kernel/clock.js';
import { systemTimers } from '../kernel/timers.js';
import { findLanes, verifyLane } from '../audit/verify.js';

export type Verdict = 'sound' | 'damaged' | 'unreadable';

export interface VerifyRequest {
  readonly home: string;
  readonly json: boolean;
  readonly print: (line: string) => void;
  /** Where progress and errors go. */
  readonly stderr: { readonly isTTY?: boolean; write(text: string): unknown };
}

interface Unreadable {
  readonly lane: number;
  readonly error: string;
}

type Outcome = LaneVerdict | Unreadable;

const mostNames = 10;
const progressEveryMs = 200;
/** Far longer than a daemon that starts needs from making a lane's folder to marking it. */
const lookAgainMs = 200;

/** Verifies all lanes, also after a damaged one. `damaged` goes before `unreadable`. */
export async function verifyAuditLog(request: VerifyRequest): Promise<Verdict> {
  const directory = join(request.home, 'audit');
  let found: Awaited<ReturnType<typeof findLanes>>;
  try {
    found = await findLanes(directory);
  } catch (error) {
    return cannotLook(request, `${directory} cannot be read (${codeOf(error)})`);
  }
  if (found.lanes.length === 0) return cannotLook(request, `there is no audit log in ${directory}`);
  const outcomes: Outcome[] = [];
  for (const lane of found.lanes) outcomes.push(await look(request, directory, lane));
  const verdict = verdictOf(outcomes);
  const notes = notesOf(found);
  if (request.json) {
    request.print(JSON.stringify({ version: 1, verdict, lanes: outcomes.map(laneJson), notes }, undefined, 2));
  } else {
    for (const line of [...outcomes.flatMap(laneLines), ...notes.map((note) => `note: ${note}`)]) request.print(line);
    request.print(`the audit log is ${verdict}`);
    if (verdict === 'sound')
      request.print('a cut end since the last stop, or a log written anew from some point on, cannot be seen this way');
  }
  return verdict;
}

const emptied: BadLine = { file: undefined, line: 1, reason: 'its folder is empty: a daemon leaves a mark at least' };

/** What an emptied lane is can only be said here: the daemon's own rounds may come while a lane is being made. */
async function look({ stderr }: VerifyRequest, directory: string, lane: number): Promise<Outcome> {
  const progress = stderr.isTTY === true ? progressLine(stderr, lane) : undefined;
  try {
    const options = { directory, lane, parse: true, ...(progress === undefined ? {} : { onPiece: progress }) };
    let verdict = await verifyLane(options);
    if (verdict.isEmpty) {
      await systemTimers.sleep(lookAgainMs);
      verdict = await verifyLane(options);
    }
    return verdict.isEmpty ? { ...verdict, damage: emptied } : verdict;
  } catch (error) {
    return { lane, error: codeOf(error) };
  } finally {
    if (progress !== undefined) stderr.write('\r\x1b[K');
  }
}

function progressLine(stderr: VerifyRequest['stderr'], lane: number): (progress: LaneProgress) => void {
  let shownMs = 0;
  return ({ file, bytes, totalBytes }) => {
    const nowMs = systemClock.monotonicMs();
    if (nowMs - shownMs < progressEveryMs) return;
    shownMs = nowMs;
    const percent = Math.floor((100 * bytes) / totalBytes);
    stderr.write(`\rlane ${lane}: ${file}, ${megabytes(bytes)} of ${megabytes(totalBytes)} MB (${percent} %)\x1b[K`);
  };
}

function cannotLook({ json, print, stderr }: VerifyRequest, error: string): Verdict {
  const verdict = 'unreadable';
  if (json) print(JSON.stringify({ version: 1, verdict, error, lanes: [], notes: [] }, undefined, 2));
  stderr.write(`hsm-bridge: ${error}\n`);
  return verdict;
}

function verdictOf(outcomes: readonly Outcome[]): Verdict {
  if (outcomes.some((outcome) => stateOf(outcome) === 'damaged')) return 'damaged';
  return outcomes.some((outcome) => stateOf(outcome) === 'unreadable') ? 'unreadable' : 'sound';
}

function stateOf(outcome: Outcome): Verdict {
  if ('error' in outcome) return 'unreadable';
  return outcome.damage === undefined ? 'sound' : 'damaged';
}

/** docs/formats/audit-log.md, "The auditor's command". */
function laneJson(outcome: Outcome): unknown {
  const state = stateOf(outcome);
  if ('error' in outcome) return { lane: outcome.lane, state, error: outcome.error };
  const { lane, files, bytes, records, firstSeq, head, firstTime, lastTime, openIntents, unfinishedBytes } = outcome;
  const { damage, strays } = outcome;
  return {
    lane,
    state,
    files,
    bytes,
    records,
    firstSeq: firstSeq ?? null,
    lastSeq: head?.seq ?? null,
    lastHash: head?.hash ?? null,
    firstTime: firstTime ?? null,
    lastTime: lastTime ?? null,
    openIntents,
    unfinishedBytes,
    damage: damage === undefined ? null : { file: damage.file ?? null, line: damage.line, reason: damage.reason },
    notes: notesOfLane(outcome),
    strays: strays.length,
  };
}

function laneLines(outcome: Outcome): string[] {
  const title = `lane ${outcome.lane}: `;
  if ('error' in outcome) return [`${title}cannot be read (${outcome.error})`];
  const { files, records, firstTime, lastTime, head, openIntents, damage } = outcome;
  const times = firstTime === undefined ? '' : `, ${firstTime} to ${lastTime ?? firstTime}`;
  const lines = [`${title}${stateOf(outcome)}: ${files} files, ${records} records that hold${times}`];
  if (damage !== undefined) {
    const where = damage.file === undefined ? '' : `${damage.file} line ${damage.line}: `;
    lines.push(`  DAMAGE  ${where}${damage.reason}`);
  }
  if (head !== undefined) lines.push(`  last    record ${head.seq}, SHA-256 ${head.hash}`);
  if (openIntents > 0)
    lines.push(`  open    ${openIntents} intents without an event: changes under way or interrupted`);
  return [...lines, ...notesOfLane(outcome).map((note) => `  note    ${note}`)];
}

function notesOfLane({ firstSeq, unfinishedBytes, strays }: LaneVerdict): string[] {
  const notes: string[] = [];
  if (firstSeq !== undefined && firstSeq > 1) {
    notes.push(`begins with record ${firstSeq}: earlier files were taken away`);
  }
  if (unfinishedBytes > 0) {
    notes.push(`ends with ${unfinishedBytes} bytes of an unfinished line: being written, or left by a crash`);
  }
  if (strays.length > 0) notes.push(`what does not belong in its folder: ${listed(strays)}`);
  return notes;
}

function notesOf({
  lanes,
  strays,
}: {
  readonly lanes: readonly number[];
  readonly strays: readonly string[];
}): string[] {
  const notes: string[] = [];
  const missing = Array.from({ length: Math.min(lanes.at(-1) ?? 0, mostLanes) }, (_, lane) => lane).filter(
    (lane) => !lanes.includes(lane),
  );
  if (missing.length > 0) notes.push(`lanes are missing: ${missing.slice(0, mostNames).join(', ')}`);
  if (strays.length > 0) notes.push(`what does not belong in the folder of the lanes: ${listed(strays)}`);
  return notes;
}

/** As many gateways as a daemon may have. */
const mostLanes = 64;

/** Some names, with nothing that a terminal would obey. */
function listed(names: readonly string[]): string {
  const shown = names.slice(0, mostNames).map((name) => name.slice(0, 64).replace(/[^\x21-\x7e]/g, '?'));
  return shown.join(', ') + (names.length > mostNames ? ` and ${names.length - mostNames} more` : '');
}

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0);

/** An error code of the operating system; what is no such error is ours, and not hidden. */
function codeOf(error: unknown): string {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
  throw error;
}
