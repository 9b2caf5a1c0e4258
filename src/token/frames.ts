// Frames on the socket between client and token host: u32 length of what follows | u32 request id | u8 op or status | payload, big
// endian. A frame never exceeds `maxFrameBytes`, whatever the other end sends; written bytes are overwritten with zeros once they have left.

const lengthBytes = 4;
const idBytes = 4;
/** Request id and op (or status): what every frame has after its length. */
const headBytes = idBytes + 1;
/** A sealed row of the store is the largest message: 32 KiB of policy, 24 KiB of description (8192 UTF-16 units) and 75 KiB of tags at most. */
export const maxFrameBytes = 256 * 1024;
export const maxPayloadBytes = maxFrameBytes - headBytes;

const chunkBytes = 64 * 1024;

/** Gets each frame; its payload is only valid until it returns. False: the frame makes no sense, stop reading. */
export type FrameHandler = (id: number, kind: number, payload: Buffer) => boolean;

/** Cuts a byte stream into frames, however it is split into chunks. */
export class FrameDecoder {
  readonly #onFrame: FrameHandler;
  /** The beginning of a frame whose end has not come yet. */
  #carry: Buffer = Buffer.alloc(0);
  #carried = 0;

  constructor(onFrame: FrameHandler) {
    this.#onFrame = onFrame;
  }

  /** False when the stream cannot be frames, or the handler refused one: nothing after that is read. */
  push(chunk: Buffer): boolean {
    let at = 0;
    while (this.#carried > 0) {
      const need = this.#carried < lengthBytes ? lengthBytes : lengthBytes + this.#carry.readUInt32BE(0);
      const taken = Math.min(need - this.#carried, chunk.length - at);
      this.#keep(chunk.subarray(at, at + taken), need);
      at += taken;
      if (this.#carried < need) return true;
      if (need === lengthBytes) {
        if (!isFrameLength(this.#carry.readUInt32BE(0))) return false;
        continue;
      }
      this.#carried = 0;
      if (!this.#deliver(this.#carry, 0, need)) return false;
    }
    for (;;) {
      if (chunk.length - at < lengthBytes) break;
      const length = chunk.readUInt32BE(at);
      if (!isFrameLength(length)) return false;
      const end = at + lengthBytes + length;
      if (end > chunk.length) break;
      if (!this.#deliver(chunk, at, end)) return false;
      at = end;
    }
    if (at < chunk.length) this.#keep(chunk.subarray(at), lengthBytes);
    return true;
  }

  #deliver(bytes: Buffer, start: number, end: number): boolean {
    const id = bytes.readUInt32BE(start + lengthBytes);
    const kind = bytes[start + lengthBytes + idBytes] ?? 0;
    return this.#onFrame(id, kind, bytes.subarray(start + lengthBytes + headBytes, end));
  }

  #keep(part: Buffer, need: number): void {
    const room = Math.max(need, this.#carried + part.length);
    if (this.#carry.length < room) {
      const larger = Buffer.allocUnsafeSlow(Math.max(room, 1024));
      this.#carry.copy(larger, 0, 0, this.#carried);
      this.#carry.fill(0);
      this.#carry = larger;
    }
    this.#carried += part.copy(this.#carry, this.#carried);
  }
}

/** Takes bytes to the socket; calls `written` when they are no longer needed. */
export type FrameSink = (bytes: Buffer, written: () => void) => void;

/** Gathers frames in one buffer until `flush`, so that many leave in one system call. */
export class FrameWriter {
  readonly #sink: FrameSink;
  #chunk: Buffer = Buffer.alloc(0);
  #start = 0;
  #end = 0;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** Room for a payload of up to `payloadBytes`, to be filled and then committed; uncommitted room is simply reserved anew. */
  reserve(payloadBytes: number): Buffer {
    if (payloadBytes > maxPayloadBytes) throw new RangeError('the payload does not fit into a frame');
    const frameBytes = lengthBytes + headBytes + payloadBytes;
    if (this.#chunk.length - this.#end < frameBytes) {
      this.flush();
      this.#chunk = Buffer.allocUnsafeSlow(Math.max(chunkBytes, frameBytes));
      this.#start = this.#end = 0;
    }
    const at = this.#end + lengthBytes + headBytes;
    return this.#chunk.subarray(at, at + payloadBytes);
  }

  /** Makes the first `payloadBytes` of the room last reserved a frame. */
  commit(id: number, kind: number, payloadBytes: number): void {
    if (payloadBytes === 0) this.reserve(0);
    const at = this.#end;
    this.#chunk.writeUInt32BE(headBytes + payloadBytes, at);
    this.#chunk.writeUInt32BE(id, at + lengthBytes);
    this.#chunk[at + lengthBytes + idBytes] = kind;
    this.#end = at + lengthBytes + headBytes + payloadBytes;
  }

  flush(): void {
    if (this.#end === this.#start) return;
    const bytes = this.#chunk.subarray(this.#start, this.#end);
    this.#start = this.#end;
    this.#sink(bytes, () => bytes.fill(0));
  }
}

function isFrameLength(length: number): boolean {
  return length >= headBytes && length <= maxFrameBytes;
}
