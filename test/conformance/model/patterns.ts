// Strings for the model's patterns: one of a given length that matches, and one that does not. What is made is tried with the pattern itself,
// so that a pattern that this does not understand is a failure and no silence.

/** As the framework means it: the whole string. */
export const matches = (pattern: string, text: string): boolean => new RegExp(`^(?:${pattern})$`, 'u').test(text);

/** One thing of a sequence: a character of those given, or one sequence of several; so many times. */
interface Item {
  readonly characters?: string;
  readonly choices?: readonly (readonly Item[])[];
  readonly least: number;
  readonly most: number;
}

/** At least as long as it can be and no shorter than `length`, where the pattern lets it. Throws when it makes none. */
export function matching(pattern: string, length: number): string {
  const reader = new Reader(pattern);
  for (const choice of reader.choices()) {
    const shortest = lengthOf(choice);
    const text = write(choice, Math.max(0, length - shortest));
    if (text.length >= length && matches(pattern, text)) return text;
  }
  throw new Error(`no string of length ${length} was made for the pattern ${pattern}`);
}

/** Of the same length as one that matches. Undefined: every string of that length does. */
export function notMatching(pattern: string, length: number): string | undefined {
  const base = matching(pattern, length);
  return ['!', '\u20ac', '\u0007', ' ', '-']
    .map((odd) => base.slice(0, -1) + odd)
    .find((text) => text.length === base.length && !matches(pattern, text));
}

const lengthOf = (items: readonly Item[]): number =>
  items.reduce((sum, { least, choices }) => sum + least * (choices === undefined ? 1 : lengthOf(choices[0] ?? [])), 0);

/** What is missing to the length goes into the first item that may grow. */
function write(items: readonly Item[], missing: number): string {
  let left = missing;
  return items
    .map(({ characters, choices, least, most }) => {
      const once = characters === undefined ? write(choices?.[0] ?? [], 0) : characters.charAt(0);
      const more = once === '' ? 0 : Math.min(Math.ceil(left / once.length), most - least);
      left -= more * once.length;
      return once.repeat(least + more);
    })
    .join('');
}

/** Of regular expressions: alternatives, groups, classes, escapes, `. + * ? {n,m}`. */
class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  choices(): readonly (readonly Item[])[] {
    const all: Item[][] = [[]];
    while (this.#at < this.#text.length && this.#text[this.#at] !== ')') {
      const character = this.#text.charAt(this.#at++);
      if (character === '|') all.push([]);
      else if (character !== '^' && character !== '$') all.at(-1)?.push(this.#item(character));
    }
    return all;
  }

  #item(character: string): Item {
    if (character === '(') {
      const choices = this.choices();
      this.#at += 1;
      return { choices, ...this.#times() };
    }
    const characters = character === '[' ? this.#class() : character === '.' ? 'a' : this.#escaped(character);
    return { characters, ...this.#times() };
  }

  /** The first that stands for it: one is enough. */
  #class(): string {
    const first = this.#escaped(this.#text.charAt(this.#at++));
    this.#at = this.#endOfClass();
    return first;
  }

  #endOfClass(): number {
    let at = this.#at;
    while (this.#text[at] !== ']') at += this.#text[at] === '\\' ? 2 : 1;
    return at + 1;
  }

  #escaped(character: string): string {
    if (character !== '\\') return character;
    const kind = this.#text.charAt(this.#at++);
    if (kind === 'u') {
      this.#at += 4;
      return String.fromCharCode(parseInt(this.#text.slice(this.#at - 4, this.#at), 16));
    }
    return { d: '1', w: 'a', s: ' ' }[kind] ?? kind;
  }

  #times(): { readonly least: number; readonly most: number } {
    const [sign = '', least, comma, most] = /^(?:[+*?]|\{(\d+)(,?)(\d*)\})/.exec(this.#text.slice(this.#at)) ?? [];
    this.#at += sign.length;
    if (sign === '') return { least: 1, most: 1 };
    if (sign === '?') return { least: 0, most: 1 };
    if (sign === '+' || sign === '*') return { least: sign === '+' ? 1 : 0, most: Infinity };
    return { least: Number(least), most: comma === '' ? Number(least) : most === '' ? Infinity : Number(most) };
  }
}
