// The annotation formats by name and what each is for: all that help and choices of the command line need,
// so that nothing else of this room is loaded for them.

export const FORMAT_TITLES = {
  png: "a PNG a picture, pixel values in the order of labels.txt: any image library",
  coco: "COCO instances with RLE masks: pycocotools, FiftyOne, CVAT",
  "coco-polygons": "COCO instances with polygons: as coco, and tools that edit outlines",
  "label-studio": "Label Studio tasks with brush predictions: import into a project",
  cvat: 'CVAT "Segmentation mask 1.1": upload to a task; a new archive every 32,000 pictures',
  yolo: "YOLO segmentation, a text file a picture: Ultralytics YOLO",
  svg: "an SVG a picture, a path a label: browsers, Inkscape, Figma",
  geojson: "GeoJSON in pixels, a file a picture: QGIS, QuPath, shapely",
} as const;
