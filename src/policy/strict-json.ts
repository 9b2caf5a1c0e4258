// JSON read strictly: what two readers could understand differently is refused. JSON.parse keeps the last of several members with one
// name, where whoever reviews a policy reads the first.

/** Document, statements, statement, condition operator, key, values: 6. */
const maxDepth = 16;

/** The value; undefined when the text is not JSON, is nested deeper than 16, or names a member of one object twice. */
export function parseStrictJson(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return isUnambiguous(text) ? value : undefined;
}

const token = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\]:]/g;

/** `json` is JSON. Each character is looked at once. Names are compared as what they mean: "\u0041ction" is "Action". */
function isUnambiguous(json: string): boolean {
  /** The names seen in each object that is open; undefined for an array. */
  const open: (Set<string> | undefined)[] = [];
  let text = '';
  for (const [found] of json.matchAll(token)) {
    if (found === '{' || found === '[') {
      open.push(found === '{' ? new Set() : undefined);
      if (open.length > maxDepth) return false;
    } else if (found === '}' || found === ']') open.pop();
    else if (found === ':') {
      const name = JSON.parse(text) as string;
      const names = open.at(-1);
      if (names?.has(name) !== false) return false;
      names.add(name);
    } else text = found;
  }
  return true;
}
