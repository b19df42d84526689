// The pictures that come with the studio, and words that fit them.

import { PictureError } from "../src/errors.js";

export interface Sample {
  readonly name: string;
  readonly title: string;
  readonly words: string;
}

export const SAMPLES: readonly Sample[] = [
  { name: "cottage.jpg", title: "Cottage", words: "tree, house, sky, grass, sun" },
  { name: "harbour.jpg", title: "Harbour", words: "boat, water, mountain, sky, bird" },
  { name: "street.jpg", title: "Street", words: "car, building, tree, road, sky" },
];

export function sampleAddress({ name }: Sample): string {
  return `./samples/${name}`;
}

export async function sampleFile(sample: Sample): Promise<Blob> {
  const response = await fetch(sampleAddress(sample));
  if (!response.ok) throw new PictureError(`${sample.name}: the server answers ${response.status}`);
  return response.blob();
}
