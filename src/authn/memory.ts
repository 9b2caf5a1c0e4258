// Short texts that clients send over and over, each read once. Bounded: a stranger's long ones are not kept, and no more than a thousand.

const maxRemembered = 1000;
const maxRememberedLength = 512;

export function remember<T>(memory: Map<string, T>, text: string, made: T): T {
  if (text.length > maxRememberedLength) return made;
  if (memory.size >= maxRemembered) memory.clear();
  memory.set(text, made);
  return made;
}
