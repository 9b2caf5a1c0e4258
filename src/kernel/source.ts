// Where a connection comes from, as far as strangers are told apart: a single IPv4 address, or an IPv6 network, which one machine has whole.

/** The address itself for IPv4, mapped into IPv6 or not; the first 64 bits of IPv6. `address` is one as the kernel prints it. */
export function sourceOf(address: string): string {
  if (address.includes('.')) return address.slice(address.lastIndexOf(':') + 1);
  const [head = '', tail] = address.split('%', 1)[0]?.split('::') ?? [];
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? [] : Array<string>(Math.max(0, 8 - before.length - after.length)).fill('0');
  return `${[...before, ...zeros, ...after].slice(0, 4).join(':')}::/64`;
}
