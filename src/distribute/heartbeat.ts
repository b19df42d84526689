// Signs of life between ranks, so that one that hangs or is cut off is named, rather than waited for.
// Every rank tells rank 0, and rank 0 tells every rank.

import type { Communicator, Request } from "./mpi.js";

const TAG = 1;

export interface HeartbeatOptions {
  /** Milliseconds without a sign after which a rank counts as lost. */
  timeout: number;
  /** Called with the rank and the time of its last sign (as of `Date.now`): at a quarter of the timeout. */
  onLate(rank: number, since: number): void;
  /** The same at the timeout, once. */
  onSilence(rank: number, since: number): void;
}

interface Peer {
  rank: number;
  inbox: Uint8Array;
  request: Request;
  /** When it was last heard of. */
  heard: number;
  late: boolean;
}

/** Starts the signs; gives the function that ends them. */
export function startHeartbeat(
  group: Communicator,
  { timeout, onLate, onSilence }: HeartbeatOptions,
): () => void {
  const interval = Math.min(1000, timeout / 10);
  const sign = new Uint8Array(1);
  const listen = (rank: number, inbox: Uint8Array) => group.receive(inbox, rank, TAG);
  const ranks = group.rank === 0 ? Array.from({ length: group.size - 1 }, (_, i) => i + 1) : [0];
  let last = Date.now();
  const peers = ranks.map((rank): Peer => {
    const inbox = new Uint8Array(1);
    return { rank, inbox, request: listen(rank, inbox), heard: last, late: false };
  });
  let sent: Request[] = [];

  const beat = (): void => {
    const now = Date.now();
    // Who slept himself (a stopped job, a closed lid) knows nothing of the others' last signs.
    const slept = now - last > timeout / 2;
    last = now;
    sent = sent.filter((request) => !request.done());
    for (const peer of peers) {
      if (slept) peer.heard = now;
      while (peer.request.done()) {
        peer.heard = now;
        peer.request = listen(peer.rank, peer.inbox);
      }
      const late = now - peer.heard > timeout / 4;
      if (late && !peer.late) onLate(peer.rank, peer.heard);
      peer.late = late;
      sent.push(group.send(sign, peer.rank, TAG));
    }
    const lost = peers.find(({ heard }) => now - heard > timeout);
    if (lost) {
      clearInterval(timer);
      onSilence(lost.rank, lost.heard);
    }
  };
  const timer = setInterval(beat, interval);
  beat();
  return () => {
    clearInterval(timer);
    for (const { request } of peers) request.cancel();
  };
}
