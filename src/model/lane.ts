// Gateways are numbered by lanes; each start of one is an incarnation. What an earlier incarnation of a lane left half done is known to be
// abandoned, since a lane has one process at a time.

const maxLanes = 64;

/** A number that no other start of any lane has, as long as starts of one lane are a millisecond apart. */
export const laneIncarnation = (lane: number, startMs: number): number => startMs * maxLanes + lane;

/** Whether `incarnation` is an earlier one of lane `own`; lane 0 also answers for lanes that are no longer configured. */
export function isAbandoned(incarnation: number, own: number, lanes: number): boolean {
  const lane = incarnation % maxLanes;
  return incarnation !== own && (lane === own % maxLanes || (own % maxLanes === 0 && lane >= lanes));
}
