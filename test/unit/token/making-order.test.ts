// What was said not to be there is never made, and what is being made is waited for.
import { describe, expect, it } from 'vitest';
import { MakingOrder } from '../../../src/token/host/making-order.js';

const idOf = (n: number): Buffer => Buffer.alloc(16, n);

describe('the order between making a key and saying whether it is there', () => {
  it('has who asks wait for a key that is being made, and for no other', () => {
    const order = new MakingOrder();
    const looked: number[] = [];
    expect(order.begin(idOf(1))).toBe(true);
    order.whenNotUnderWay(idOf(1), () => looked.push(1));
    order.whenNotUnderWay(idOf(1), () => looked.push(2));
    order.whenNotUnderWay(idOf(2), () => looked.push(3));
    expect(looked).toEqual([3]);
    order.end(idOf(1));
    expect(looked).toEqual([3, 1, 2]);
    order.whenNotUnderWay(idOf(1), () => looked.push(4));
    expect(looked).toEqual([3, 1, 2, 4]);
  });

  it('never makes what was said not to be there', () => {
    const order = new MakingOrder();
    order.saidAbsent(idOf(1));
    expect(order.begin(idOf(1))).toBe(false);
    expect(order.begin(idOf(2))).toBe(true);
  });

  it('remembers as many as a start may ask for, and forgets the oldest of more', () => {
    const order = new MakingOrder();
    const ids = Array.from({ length: 10_001 }, (_, n) => Buffer.from(String(n).padStart(16, '0')));
    for (const id of ids) order.saidAbsent(id);
    expect(order.begin(ids[0]!)).toBe(true);
    expect(order.begin(ids[1]!)).toBe(false);
    expect(order.begin(ids[10_000]!)).toBe(false);
  });
});
