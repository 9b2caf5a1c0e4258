// A request's body as JSON. What it may be made of is bounded before it is parsed: parsing costs by the value, not by the byte.
import { isUtf8 } from 'node:buffer';
import { BridgeError } from '../../kernel/errors.js';

/** Of brackets and braces; no request has more than four. */
const mostDepth = 1000;
/** A body up to this size is parsed in less than a millisecond, whatever is in it. */
const mostUncountedBytes = 4096;
/**
 * Values and members in one body. The largest legal request, 1,000 tags or two encryption contexts of 8 KB, has less than 7,000; this
 * many are parsed in 3 ms at most, where the 500,000 that fit into 1 MiB take 0.2 s.
 */
const mostParts = 8192;

/** AWS's framework has no words for a body that is not JSON: SerializationException without a message. */
export function parseJson(body: Buffer): unknown {
  if (body.length > mostUncountedBytes) requireFewParts(body);
  if (!isUtf8(body)) throw new BridgeError('SerializationException');
  return parse(body.toString('utf8'));
}

/** The same with every number as the text it was written in: 1.0 and 1e3 are more than the numbers they stand for. */
export function parseNumbersAsText(body: Buffer): unknown {
  const quoted = body
    .toString('utf8')
    .replace(stringOrNumber, (token) => (token.startsWith('"') ? token : `"${token}"`));
  return parse(quoted);
}

const stringOrNumber = /"[^"\\]*(?:\\.[^"\\]*)*"|[-\d][-+.\deE]*/g;

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new BridgeError('SerializationException');
  }
}

const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const colon = 0x3a;

const isOpening = (byte: number | undefined): boolean => byte === 0x5b || byte === 0x7b;
const isClosing = (byte: number | undefined): boolean => byte === 0x5d || byte === 0x7d;

/**
 * ValidationException, as for a list that is too long; a body nested too deep counts as broken. Each value but the outermost follows a
 * bracket, a brace, a comma or a colon.
 */
function requireFewParts(body: Buffer): void {
  let parts = 0;
  let depth = 0;
  let inString = false;
  for (let i = 0; i < body.length; i += 1) {
    const byte = body[i];
    if (inString) {
      if (byte === backslash) i += 1;
      else if (byte === quote) inString = false;
    } else if (byte === quote) inString = true;
    else if (isClosing(byte)) depth -= 1;
    else if (byte === comma || byte === colon || isOpening(byte)) {
      if (isOpening(byte)) depth += 1;
      if (depth > mostDepth) throw new BridgeError('SerializationException');
      parts += 1;
      if (parts > mostParts)
        throw new BridgeError('ValidationException', `The request has more than ${mostParts} JSON values.`);
    }
  }
}
