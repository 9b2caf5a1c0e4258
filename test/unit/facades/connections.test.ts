// Whom the endpoint lets go when there is no room: strangers, the oldest first, and never for their address alone who has signed well.
import { PassThrough } from 'node:stream';
import type { Socket } from 'node:net';
import { expect, it } from 'vitest';
import {
  type Connection,
  connectionsCheck,
  ConnectionTable,
  type DropReason,
} from '../../../src/facades/aws-json/connections.js';
import { sourceOf } from '../../../src/kernel/source.js';

const limits = { connections: 10, unproven: 6, unprovenOfSource: 3, unprovenCalls: 2, firstSignatureMs: 1000 };

function aTable() {
  const dropped: DropReason[] = [];
  let nowMs = 0;
  const table = new ConnectionTable({
    limits,
    dropped: (reason) => dropped.push(reason),
    clock: { monotonicMs: () => nowMs },
  });
  const add = (address: string | undefined, bytesRead = 0): Connection =>
    table.add(Object.assign(new PassThrough(), { remoteAddress: address, bytesRead }) as unknown as Socket)!;
  return { table, dropped, add, pass: (ms: number) => (nowMs += ms) };
}
const gone = (connections: readonly Connection[]): boolean[] => connections.map(({ socket }) => socket.destroyed);

it('lets the oldest stranger go for a newer one', () => {
  const { table, dropped, add } = aTable();
  const strangers = [1, 2, 3, 4, 5, 6, 7, 8].map((n) => add(`10.0.0.${n}`));
  expect(gone(strangers)).toEqual([true, true, false, false, false, false, false, false]);
  expect(dropped).toEqual(['too-many-unproven', 'too-many-unproven']);
  expect(table.state()).toMatchObject({ open: 6, unproven: 6 });
});

it('lets the oldest stranger of an address go for a newer one of the same, and nobody of it who has signed well', () => {
  const { table, dropped, add } = aTable();
  const other = add('10.0.0.9');
  const clients = [1, 2, 3].map(() => add('10.0.0.1'));
  clients.forEach((client) => client.prove('one'));
  const strangers = [1, 2, 3, 4].map(() => add('10.0.0.1'));
  expect(gone([other, ...clients, ...strangers])).toEqual([false, false, false, false, true, false, false, false]);
  expect(dropped).toEqual(['too-many-of-source']);
  expect(table.state()).toMatchObject({ open: 7, unproven: 4 });
});

it('does not take UNIX sockets for one address', () => {
  const { dropped, add } = aTable();
  const local = [1, 2, 3, 4, 5].map(() => add(undefined));
  expect(gone(local)).not.toContain(true);
  expect(dropped).toEqual([]);
  expect(local[0]?.isBroken).toBe(false);
});

it('keeps who has signed well, whoever comes, and room for strangers', () => {
  const { table, dropped, add } = aTable();
  const clients = Array.from({ length: 4 }, (_, n) => {
    const client = add(`10.0.1.${n}`);
    client.prove('one');
    return client;
  });
  const strangers = Array.from({ length: 7 }, (_, n) => add(`10.0.0.${n}`));
  expect(gone([...clients, ...strangers])).toEqual([
    false,
    false,
    false,
    false,
    true,
    ...Array<boolean>(6).fill(false),
  ]);
  expect(dropped).toEqual(['too-many-unproven']);
  expect(table.state()).toMatchObject({ open: 10, unproven: 6 });
});

it('lets the account with the most connections lose the one that it has not used for longest, for whoever signs well', () => {
  const { table, dropped, add } = aTable();
  const signed = (accountId: string): Connection => {
    const connection = add(undefined);
    connection.prove(accountId);
    return connection;
  };
  const many = ['many', 'many', 'many'].map(signed);
  const few = signed('few');
  many[0]?.prove('many');
  many[1]!.callsInLine = 1;
  // All were used when they were proven: at the first look that is forgotten.
  const more = [signed('few'), signed('few')];
  expect(gone([...many, few, ...more])).toEqual([true, false, true, false, false, false]);
  expect(dropped).toEqual(['too-many-proven', 'too-many-proven']);
  // Now it is the other one that has most, and its newest is in use.
  few.prove('few');
  more.forEach((connection) => (connection.callsInLine = 1));
  signed('many');
  expect(gone([many[1]!, few, ...more])).toEqual([false, true, false, false]);
  expect(table.state()).toMatchObject({ open: 4, unproven: 0 });
});

it('turns newcomers away while all wait for answers', () => {
  const { table, dropped, add } = aTable();
  for (let n = 0; n < 10; n++) {
    const client = add(undefined);
    client.callsInLine = 1;
    client.prove('one');
  }
  expect(add(undefined)).toBe(undefined);
  expect(dropped).toEqual(['all-in-use']);
  expect(table.state().open).toBe(10);
});

it('gives a stranger so long for a good signature, and an answer if he has said anything', () => {
  const { table, dropped, add, pass } = aTable();
  const silent = add('10.0.0.1');
  const slow = add('10.0.0.2', 17);
  const waiting = add('10.0.0.3', 500);
  waiting.callsInLine = 1;
  const client = add('10.0.0.4', 500);
  client.prove('one');
  const late: Connection[] = [];
  pass(999);
  const young = add('10.0.0.5');
  table.sweep((connection) => late.push(connection));
  expect([late, dropped]).toEqual([[], []]);
  pass(1);
  table.sweep((connection) => late.push(connection));
  expect(late).toEqual([slow]);
  expect(gone([silent, slow, waiting, client, young])).toEqual([true, false, false, false, false]);
  expect(dropped).toEqual(['no-signature-in-time', 'no-signature-in-time']);
  // That is how every port scan ends: no reason for an alarm.
  expect(connectionsCheck(table.state()).ok).toBe(true);
});

it('lets a stranger send few requests at once', () => {
  const { table, dropped, add } = aTable();
  const [stranger, client] = [add('10.0.0.1'), add('10.0.0.1')];
  client.prove('one');
  stranger.calls = client.calls = 1;
  expect([table.mayCall(stranger), table.mayCall(client)]).toEqual([true, true]);
  stranger.calls = client.calls = 2;
  expect([table.mayCall(stranger), table.mayCall(client)]).toEqual([false, true]);
  expect(gone([stranger, client])).toEqual([true, false]);
  expect(dropped).toEqual(['too-many-at-once']);
});

it('forgets connections that end', () => {
  const { table, add } = aTable();
  const [one, two] = [add('10.0.0.1'), add('10.0.0.1')];
  two.prove('one');
  one.socket.emit('close');
  two.socket.emit('close');
  expect(table.state()).toMatchObject({ open: 0, unproven: 0 });
  expect(table.of(one.socket)).toBe(undefined);
});

it('shows in the health report that there is no room, while it lasts', () => {
  const { table, add, pass } = aTable();
  expect(connectionsCheck(table.state())).toEqual({ ok: true });
  for (let n = 0; n < 7; n++) add(`10.0.0.${n}`);
  const detail = '6 open, 6 of them unproven; dropped since the start: too-many-unproven 1';
  expect(connectionsCheck(table.state())).toEqual({ ok: false, detail });
  pass(60_001);
  expect(connectionsCheck(table.state())).toEqual({ ok: true, detail });
});

it.each([
  ['192.0.2.7', '192.0.2.7'],
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:db8:1:2::9', '2001:db8:1:2::/64'],
  ['2001:db8::1', '2001:db8:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ['::1', '0:0:0:0::/64'],
])('takes %s for %s', (address, source) => {
  expect(sourceOf(address)).toBe(source);
});
