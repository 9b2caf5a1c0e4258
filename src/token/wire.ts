// The requests and answers between client and token host: numbers and payload layouts, each written once and used by both ends.
// docs/formats/token-ipc.md is the prose. Numbers are never given a second meaning.

/** Field sizes in bytes; `rest` takes what is left and can only come last. */
type Size = number | 'rest';

/** One request: its number and how its payload is cut into fields. */
export interface Request<Fields extends readonly Buffer[] = readonly Buffer[]> {
  readonly op: number;
  readonly name: string;
  /** Views into `payload`; undefined when it has another length than the layout asks for. */
  split(payload: Buffer): Fields | undefined;
  /** The payload's length in bytes. RangeError when a field has a length of its own making. */
  measure(fields: Fields): number;
}

function request<const Sizes extends readonly Size[]>(
  op: number,
  name: string,
  ...sizes: Sizes
): Request<{ [Field in keyof Sizes]: Buffer }> {
  type Fields = { [Field in keyof Sizes]: Buffer };
  const fixed = sizes.reduce<number>((sum, size) => sum + (size === 'rest' ? 0 : size), 0);
  const open = sizes.at(-1) === 'rest';
  return {
    op,
    name,
    split(payload) {
      if (open ? payload.length < fixed : payload.length !== fixed) return undefined;
      let at = 0;
      const fields = sizes.map((size) => {
        const start = at;
        at = size === 'rest' ? payload.length : at + size;
        return payload.subarray(start, at);
      });
      return fields as unknown as Fields;
    },
    measure(fields) {
      let bytes = 0;
      for (let i = 0; i < sizes.length; i++) {
        const length = fields[i]?.length ?? 0;
        const size = sizes[i];
        if (size !== 'rest' && size !== length) throw new RangeError(`${name}: field ${i} has ${length} bytes`);
        bytes += length;
      }
      return bytes;
    },
  };
}

export const ckaIdBytes = 16;
export const aadBytes = 32;
const u32Bytes = 4;
export const u64Bytes = 8;
/** Most random bytes of one call (AWS KMS, GenerateRandom and GenerateDataKey: NumberOfBytes). */
export const maxRandomBytes = 1024;

export const isRandomLength = (bytes: number): boolean =>
  Number.isInteger(bytes) && bytes >= 1 && bytes <= maxRandomBytes;

export const requests = {
  info: request(1, 'info'),
  generateKey: request(2, 'generateKey', ckaIdBytes),
  inventory: request(4, 'inventory'),
  encrypt: request(5, 'encrypt', ckaIdBytes, aadBytes, 'rest'),
  decrypt: request(6, 'decrypt', ckaIdBytes, aadBytes, 'rest'),
  reEncrypt: request(7, 'reEncrypt', ckaIdBytes, aadBytes, ckaIdBytes, aadBytes, 'rest'),
  generateDataKey: request(8, 'generateDataKey', ckaIdBytes, aadBytes, u32Bytes),
  generateDataKeyWithoutPlaintext: request(9, 'generateDataKeyWithoutPlaintext', ckaIdBytes, aadBytes, u32Bytes),
  random: request(10, 'random', u32Bytes),
  createDaemonKeys: request(11, 'createDaemonKeys'),
  sealRow: request(12, 'sealRow', 'rest'),
  holds: request(13, 'holds', ckaIdBytes),
  scheduleDestruction: request(14, 'scheduleDestruction', u64Bytes, 'rest'),
  cancelDestruction: request(15, 'cancelDestruction', 'rest'),
  destroyScheduled: request(16, 'destroyScheduled', u64Bytes, 'rest'),
} as const;

export const statuses = {
  ok: 0,
  /** The first part of an answer too long for a frame; more frames with the same request id follow, the last one `ok`. */
  partial: 1,
  internal: 2,
  keyUnavailable: 3,
  invalidCiphertext: 4,
  daemonKeysExist: 5,
  /** No answer, whatever its request id: the host works, on another gateway's requests. */
  alive: 6,
  /** To generateKey: the token is well, and has no object with this CKA_ID. It may be full. */
  nothingMade: 7,
} as const;

export type Status = keyof typeof statuses;

/** A time in milliseconds since 1970. */
export function u64(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(u64Bytes);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

/** CKA_IDs one after the other; undefined when `bytes` has another length. */
export function splitCkaIds(bytes: Buffer): Buffer[] | undefined {
  if (bytes.length % ckaIdBytes !== 0) return undefined;
  const ids: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += ckaIdBytes) ids.push(bytes.subarray(at, at + ckaIdBytes));
  return ids;
}

export function u32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(u32Bytes);
  bytes.writeUInt32BE(value);
  return bytes;
}
