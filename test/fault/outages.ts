// Which failures a killed token host explains: those of its Region, from the kill until a call that began after it was answered by the
// token. No time is measured, so a slow machine is excused for nothing more.
export class Outages {
  readonly #kills = new Map<string, number>();
  readonly #worksAfter = new Map<string, number>();
  #restarting = false;

  /** At once after the kill. */
  killed(regions: readonly string[]): void {
    for (const region of regions) this.#kills.set(region, this.#killsOf(region) + 1);
  }

  /** Meanwhile what is left of the daemon may still answer, and says nothing of what comes after. */
  async restart(regions: readonly string[], start: () => Promise<void>): Promise<void> {
    this.#restarting = true;
    this.killed(regions);
    await start();
    this.#restarting = false;
  }

  /** Before a call. */
  begin(region: string): Begun {
    const kills = this.#restarting ? 0 : this.#killsOf(region);
    const worksAfter = this.#worksAfter.get(region) ?? 0;
    return {
      answeredByToken: () => this.#worksAfter.set(region, Math.max(kills, this.#worksAfter.get(region) ?? 0)),
      isExplained: () => this.#killsOf(region) > worksAfter,
    };
  }

  #killsOf(region: string): number {
    return this.#kills.get(region) ?? 0;
  }
}

export interface Begun {
  readonly answeredByToken: () => void;
  /** Whether a failure of the call now may be a kill's doing. */
  readonly isExplained: () => boolean;
}
