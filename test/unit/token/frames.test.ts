// Framing: whatever the chunks, the frames that went in come out; a stream that is no frames is told as such and costs no memory.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FrameDecoder, FrameWriter, maxFrameBytes, maxPayloadBytes } from '../../../src/token/frames.js';

interface Frame {
  readonly id: number;
  readonly kind: number;
  readonly payload: Buffer;
}

const frame = fc.record({
  id: fc.integer({ min: 0, max: 0xffff_ffff }),
  kind: fc.integer({ min: 0, max: 255 }),
  payload: fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes)),
});

/** The format page's layout, written down a second time. */
function byHand({ id, kind, payload }: Frame): Buffer {
  const head = Buffer.alloc(9);
  head.writeUInt32BE(5 + payload.length, 0);
  head.writeUInt32BE(id, 4);
  head.writeUInt8(kind, 8);
  return Buffer.concat([head, payload]);
}

function collector(): { frames: Frame[]; decoder: FrameDecoder } {
  const frames: Frame[] = [];
  const decoder = new FrameDecoder((id, kind, payload) => {
    frames.push({ id, kind, payload: Buffer.from(payload) });
    return true;
  });
  return { frames, decoder };
}

/** Cuts `bytes` at random places. */
function pieces(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const cut: Buffer[] = [];
  for (let at = 0, n = 0; at < bytes.length; n++) {
    const size = Math.max(1, sizes[n % Math.max(1, sizes.length)] ?? bytes.length);
    cut.push(bytes.subarray(at, at + size));
    at += size;
  }
  return cut;
}

describe('FrameDecoder', () => {
  it('gives back what went in, however it was cut', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 20 });
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 20 }), sizes, (sent, cuts) => {
        const { frames, decoder } = collector();
        for (const piece of pieces(Buffer.concat(sent.map(byHand)), cuts)) expect(decoder.push(piece)).toBe(true);
        expect(frames).toEqual(sent);
      }),
    );
  });

  it('takes the largest frame and refuses a larger one by its length alone', () => {
    const { frames, decoder } = collector();
    const largest = byHand({ id: 1, kind: 2, payload: Buffer.alloc(maxPayloadBytes, 3) });
    for (const piece of pieces(largest, [65_536])) expect(decoder.push(piece)).toBe(true);
    expect(frames[0]?.payload.length).toBe(maxPayloadBytes);
    const head = Buffer.alloc(4);
    head.writeUInt32BE(maxFrameBytes + 1);
    expect(collector().decoder.push(head)).toBe(false);
    const { decoder: slow } = collector();
    expect([...head].map((byte) => slow.push(Buffer.of(byte)))).toEqual([true, true, true, false]);
  });

  it.each([0, 1, 4])('refuses a frame of %i bytes, which has no room for its head', (length) => {
    const bytes = Buffer.alloc(16);
    bytes.writeUInt32BE(length);
    expect(collector().decoder.push(bytes)).toBe(false);
  });

  it('stops where its handler says so', () => {
    let seen = 0;
    const decoder = new FrameDecoder(() => ++seen < 2);
    const bytes = byHand({ id: 0, kind: 0, payload: Buffer.alloc(3) });
    expect(decoder.push(Buffer.concat([bytes, bytes, bytes]))).toBe(false);
    expect(seen).toBe(2);
  });

  it('survives any bytes', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 64 })), (chunks) => {
        const { decoder } = collector();
        for (const chunk of chunks) if (!decoder.push(Buffer.from(chunk))) return;
      }),
    );
  });
});

describe('FrameWriter', () => {
  it('writes the layout of the format page, all frames in one piece, and blanks it afterwards', () => {
    const written: Buffer[] = [];
    const kept: Buffer[] = [];
    const dones: (() => void)[] = [];
    const writer = new FrameWriter((bytes, done) => {
      written.push(Buffer.from(bytes));
      kept.push(bytes);
      dones.push(done);
    });
    const sent = Array.from({ length: 50 }, (_, n) => ({ id: n, kind: n, payload: Buffer.alloc(n, n) }));
    for (const { id, kind, payload } of sent) {
      // More room is taken than is needed, as decryption does.
      payload.copy(writer.reserve(payload.length + 28));
      writer.commit(id, kind, payload.length);
    }
    writer.flush();
    writer.flush();
    expect(written).toEqual([Buffer.concat(sent.map(byHand))]);
    for (const done of dones) done();
    expect(kept.every((bytes) => bytes.every((byte) => byte === 0))).toBe(true);
  });

  it('round-trips through the decoder over many buffers', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 70_000 }), { maxLength: 8 }), (lengths) => {
        const { frames, decoder } = collector();
        const writer = new FrameWriter((bytes) => decoder.push(bytes));
        for (const [id, length] of lengths.entries()) {
          writer.reserve(length).fill(id + 1);
          writer.commit(id, 0, length);
        }
        writer.flush();
        expect(frames.map(({ payload }) => payload.length)).toEqual(lengths);
        for (const { id, payload } of frames) expect(payload.every((byte) => byte === id + 1)).toBe(true);
      }),
      { numRuns: 30 },
    );
  });

  it('refuses a payload that no frame holds', () => {
    const writer = new FrameWriter(() => undefined);
    expect(() => writer.reserve(maxPayloadBytes + 1)).toThrow(RangeError);
  });
});
