// The connections of the endpoint, and whom to let go when there are too many: until a signature was good on it, a connection is a stranger's,
// which is short-lived and the first to go. What strangers hold together is bounded by their number.
import type { Socket } from 'node:net';
import type { MonotonicClock } from '../../kernel/clock.js';
import { sourceOf } from '../../kernel/source.js';
import { Strangers } from '../../kernel/strangers.js';
import { Shares } from './shares.js';

/** Why a connection was closed early; only who began a request and was too slow with it gets an answer. */
export const dropReasons = [
  /** Everybody's connections together; all of them have been proven, and wait for answers. */
  'all-in-use',
  /** One that was proven, of the account with the most, for another that was. */
  'too-many-proven',
  /** The oldest stranger's, for a newer one. */
  'too-many-unproven',
  /** The oldest stranger's of an address, for a newer one of the same. */
  'too-many-of-source',
  /** No good signature came in time. */
  'no-signature-in-time',
  /** A stranger sent more requests than it may before the first was answered. */
  'too-many-at-once',
  /** On a TLS port: the oldest handshake's, of all or of an address, for a newer one. */
  'too-many-handshakes',
  /** On a TLS port: the handshake was not done in time. */
  'no-handshake-in-time',
] as const;
export type DropReason = (typeof dropReasons)[number];

export interface ConnectionLimits {
  /** Strangers have their part of these, however many are proven. */
  readonly connections: number;
  /** Of these, such as no signature was good on yet: each may hold 16 KiB of headers and 8 KiB of a body. */
  readonly unproven: number;
  /** Of these, such as come from one IPv4 address or one IPv6 network (/64). A proxy's clients share one; so only strangers are counted. */
  readonly unprovenOfSource: number;
  /** Requests of a stranger that wait for their answers on one connection. */
  readonly unprovenCalls: number;
  readonly firstSignatureMs: number;
}

export const usualLimits: ConnectionLimits = {
  connections: 10_000,
  unproven: 1024,
  unprovenOfSource: 768,
  unprovenCalls: 16,
  firstSignatureMs: 10_000,
};

/** Nobody is kept out by these: they are what a slow or silent client comes to. */
const ofTime: ReadonlySet<DropReason> = new Set(['no-signature-in-time', 'no-handshake-in-time']);

export class Connection {
  readonly socket: Socket;
  /** The peer's. Undefined on a UNIX socket, and when the peer has gone already. */
  readonly address: string | undefined;
  /** What strangers are told apart by. Whoever may use a UNIX socket is not told from others. */
  readonly source: string | undefined;
  readonly sinceMs: number;
  /** Requests whose headers came and that are not answered. */
  calls = 0;
  /** Of these, such as have been read and are in the line. */
  callsInLine = 0;
  /** Its last answer is under way: whatever still comes over it is no call. */
  isFinished = false;
  used = false;
  readonly #table: ConnectionTable;
  #accountId: string | undefined;

  constructor(socket: Socket, table: ConnectionTable, nowMs: number) {
    this.socket = socket;
    this.address = socket.remoteAddress;
    this.source = this.address === undefined ? undefined : sourceOf(this.address);
    this.sinceMs = nowMs;
    this.#table = table;
  }

  /** Whose signature was good on it, the first time: a proxy's connection may carry several accounts' calls. Undefined: nobody's yet. */
  get accountId(): string | undefined {
    return this.#accountId;
  }

  get proven(): boolean {
    return this.#accountId !== undefined;
  }

  get isIdle(): boolean {
    return this.callsInLine === 0;
  }

  prove(accountId: string): void {
    this.used = true;
    if (this.#accountId !== undefined) return;
    this.#accountId = accountId;
    this.#table.proved(this, accountId);
  }

  /** Whether its peer has gone. */
  get isBroken(): boolean {
    // A connection that was reset, be it before it was accepted, has no peer any more; one on a UNIX socket has no addresses at all.
    return !this.socket.writable || (this.socket.localAddress !== undefined && peerOf(this.socket) === undefined);
  }
}

/**
 * The kernel is asked again: a socket goes on to say what it heard the first time. For the end of a connection alone, since V8 makes a
 * socket slow that was another object's prototype.
 */
const peerOf = (socket: Socket): string | undefined =>
  (Object.create(socket, { _peername: { value: undefined, writable: true } }) as Socket).remoteAddress;

export interface ConnectionState {
  readonly open: number;
  readonly unproven: number;
  readonly dropped: Readonly<Record<DropReason, number>>;
  /** Since a connection was last dropped for want of room; undefined: never. */
  readonly crowdedMsAgo: number | undefined;
}

export interface ConnectionTableOptions {
  readonly limits?: ConnectionLimits;
  /** Told of each connection that is dropped. */
  readonly dropped?: (reason: DropReason) => void;
  readonly clock: MonotonicClock;
}

export class ConnectionTable {
  readonly #limits: ConnectionLimits;
  readonly #told: (reason: DropReason) => void;
  readonly #clock: MonotonicClock;
  readonly #all = new Map<Socket, Connection>();
  readonly #unproven: Strangers<Connection>;
  readonly #proven = new Shares<Connection>();
  readonly #dropped = Object.fromEntries(dropReasons.map((reason) => [reason, 0])) as Record<DropReason, number>;
  #crowdedAtMs: number | undefined;

  constructor({ limits = usualLimits, dropped = () => undefined, clock }: ConnectionTableOptions) {
    this.#limits = limits;
    this.#unproven = new Strangers({ all: limits.unproven, ofSource: limits.unprovenOfSource });
    this.#told = dropped;
    this.#clock = clock;
  }

  /** Takes a new connection in, at the cost of an older one where there is no room. Undefined: it is closed itself. */
  add(socket: Socket): Connection | undefined {
    const { connections } = this.#limits;
    const connection = new Connection(socket, this, this.#clock.monotonicMs());
    const ofSource = this.#unproven.tooManyOf(connection.source);
    if (ofSource !== undefined) this.drop(ofSource, 'too-many-of-source');
    const { oldest } = this.#unproven;
    if (oldest !== undefined && (this.#unproven.isFull || this.#all.size >= connections))
      this.drop(oldest, 'too-many-unproven');
    if (this.#all.size >= connections) {
      this.count('all-in-use');
      socket.destroy();
      return undefined;
    }
    this.#all.set(socket, connection);
    this.#unproven.add(connection, connection.source);
    socket.once('close', () => this.#forget(connection));
    return connection;
  }

  of(socket: Socket): Connection | undefined {
    return this.#all.get(socket);
  }

  /** Whether a stranger may have one more request read. If not, the connection is gone. */
  mayCall(connection: Connection): boolean {
    if (connection.proven || connection.calls < this.#limits.unprovenCalls) return true;
    this.drop(connection, 'too-many-at-once');
    return false;
  }

  drop(connection: Connection, reason: DropReason): void {
    this.count(reason);
    this.#forget(connection);
    connection.isFinished = true;
    connection.socket.destroy();
  }

  /** Counts one that was dropped, here or before it came into the table. */
  count(reason: DropReason): void {
    this.#dropped[reason] += 1;
    if (!ofTime.has(reason)) this.#crowdedAtMs = this.#clock.monotonicMs();
    this.#told(reason);
  }

  /** For `Connection.prove`. */
  proved(connection: Connection, accountId: string): void {
    // Its client may have gone meanwhile.
    if (this.#all.get(connection.socket) !== connection) return;
    this.#unproven.delete(connection);
    const { connections, unproven } = this.#limits;
    const spare = this.#proven.size >= connections - unproven ? this.#proven.spare() : undefined;
    this.#proven.add(connection, accountId);
    if (spare !== undefined) this.drop(spare, 'too-many-proven');
  }

  /** Tells `late` of strangers whose time is up and none of whose calls is in the line; it is to close them. */
  sweep(late: (connection: Connection) => void): void {
    const dueMs = this.#clock.monotonicMs() - this.#limits.firstSignatureMs;
    for (const connection of this.#unproven) {
      if (connection.sinceMs > dueMs) break;
      if (connection.callsInLine > 0 || connection.isFinished) continue;
      if (connection.socket.bytesRead === 0) this.drop(connection, 'no-signature-in-time');
      else {
        this.count('no-signature-in-time');
        late(connection);
      }
    }
  }

  state(): ConnectionState {
    return {
      open: this.#all.size,
      unproven: this.#unproven.size,
      dropped: { ...this.#dropped },
      crowdedMsAgo: this.#crowdedAtMs === undefined ? undefined : this.#clock.monotonicMs() - this.#crowdedAtMs,
    };
  }

  #forget(connection: Connection): void {
    this.#all.delete(connection.socket);
    this.#unproven.delete(connection);
    if (connection.accountId !== undefined) this.#proven.delete(connection, connection.accountId);
  }
}

/** Connections were dropped for want of room so short a time ago that it may go on. */
const recentMs = 60_000;

/** For the health report: not well while connections are dropped for want of room; what was dropped since the start is told for good. */
export function connectionsCheck(state: ConnectionState): { readonly ok: boolean; readonly detail?: string } {
  const { open, unproven, crowdedMsAgo } = state;
  const dropped = dropReasons.filter((reason) => state.dropped[reason] > 0);
  const ok = crowdedMsAgo === undefined || crowdedMsAgo > recentMs;
  if (dropped.length === 0) return { ok };
  const counts = dropped.map((reason) => `${reason} ${state.dropped[reason]}`).join(', ');
  return { ok, detail: `${open} open, ${unproven} of them unproven; dropped since the start: ${counts}` };
}
