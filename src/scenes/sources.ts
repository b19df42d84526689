// Every cut-out picture that was installed by scripts/setup-scenes.mjs, with the nouns that name it
// and the side of the training/evaluation split on which it stands.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, extname, join } from "node:path";
import { InputError } from "../errors.js";
import { fnv1a } from "../random.js";
import { classIndex, classOfEmoji, classOfText, plainText } from "./classes.js";
import { type NounBook, readNounBook } from "./wordnet.js";

export type Style = "photo" | "drawing" | "icon" | "emoji";
export type Split = "train" | "held-out";

/** A cut-out that has not been rasterised yet. */
export interface Source {
  /** Unique and stable, e.g. `game-icons/fire-axe`. */
  readonly id: string;
  /** Collection, e.g. `game-icons` or `tuxpaint`. */
  readonly set: string;
  /** `photo` is only a guess here: rasterising tells photographs from drawings by their colours. */
  readonly style: Style;
  readonly split: Split;
  /** Display name: the canonical class where one of the 158 fits, another noun otherwise. */
  readonly noun: string;
  /** False for one-coloured icons, which are painted when a scene is composed. */
  readonly colour: boolean;
  readonly licence: string;
  /** Path of a picture file, or the text of an SVG. */
  readonly body: { file: string } | { svg: string };
}

/** Who made a collection and under which terms. */
export interface Attribution {
  readonly set: string;
  readonly title: string;
  readonly author: string;
  readonly url: string;
  readonly licence: string;
}

/** A photograph or texture to put behind the objects. */
export interface BackgroundSource {
  readonly id: string;
  readonly file: string;
  readonly split: Split;
  /** What it shows, as a caption would say it; null when nothing has a plain name. */
  readonly noun: string | null;
}

export interface Sources {
  readonly cutouts: Source[];
  readonly backgrounds: BackgroundSource[];
  readonly attributions: Attribution[];
}

/** Styles that only evaluation may see, here or elsewhere, in any packaging. */
export const HELD_OUT_STYLES: ReadonlySet<string> = new Set([
  "openmoji",
  "noto",
  "noto-v1",
  "fxemoji",
]);

/** Icon collections that are emoji fonts; their names are Unicode annotations. */
const EMOJI_SETS = new Set([
  "twemoji",
  "emojione",
  "emojione-v1",
  "emojione-monotone",
  "fluent-emoji",
  "fluent-emoji-flat",
  "fluent-emoji-high-contrast",
  "streamline-emojis",
]);

/** Collections whose drawings hardly ever show what their names say, or that are not things. */
const SKIPPED_SETS = new Set(
  `flag circle-flags flagpack cif gis map geo academicons ginetex svg-spinners bpmn k8s unjs gcp
  covid medical-icon websymbol fontelico token cryptocurrency flat-ui`.split(/\s+/),
);
const SKIPPED_CATEGORIES = new Set(["Logos", "Programming"]);

/** Style words that icon names carry at their end (or start); they say how, not what. */
const STYLE_WORDS = new Set(
  `outline outlined fill filled solid bold thin regular duotone twotone tone two linear broken
  sharp rounded duo flat colour color baseline ic simple simplistic alt o f s mini icon variant
  twin left right 1x 2x 3d single minimalistic stroke freehand streamline`.split(/\s+/),
);

/** Words after the noun that do not change what is seen. */
const TRAILING_WORDS = new Set(
  `side front face head sitting standing closed open opened empty full half slice slices whole
  double small big large horizontal vertical evergreen deciduous sports hatchback estate pickup
  modern classic old new retro slim tilted upright alone profile lying left right`.split(/\s+/),
);

/** Interface verbs and badges: an icon whose name holds one shows more, or less, than its noun. */
const REJECTED_WORDS = new Set(
  `arrow arrows add plus minus remove delete off slash cancel check checked checkmark tick x cross
  setting settings cog gear alert warning error info information question help search find sync
  refresh reload restart reset upload download share edit user users account person people man woman
  men women boy girl child family file files folder document doc docs page app apps web browser
  window text font letter chart graph analytics data database server cloud code coding api network
  link security secure privacy shield time location pin map marker poi message chat comment mail
  email sms call calling incoming outgoing missed calendar schedule payment pay money dollar euro
  bitcoin crypto yen pound rupee ruble cash brand logo sign symbol button badge badged notification
  notifications smart play pause stop next previous prev video music sound audio wifi signal
  bluetooth nfc up down top bottom circle square squared rectangle rounded ban blocked block no not
  without dont do set list view layout align alignment grid row column filter sort ai mode insert
  import export transfer zoom scan id tag vip number one three four five a b c d e g h i j k l m n p
  q r t u v w y z and or with to from in on at of the for by google apple-logo amazon facebook
  twitter microsoft android ios windows linux connected disconnected connect disconnect disabled
  disable enable enabled active inactive activity lock locked unlock unlocked sharing shared
  pending done complete completed failed success repeat shuffle skip fast slow auto automatic
  manual rotate rotation flip swap switch move drag drop select selection cursor pointer click tap
  touch gesture swipe pinch hand high low medium level status state type types method action
  actions option options control controls system device devices digital online offline virtual
  world global international local public private group team favorite favourite heart like love
  bookmark star verified report broken crossed strike stroke sparkle sparkles ar vr nft usb sd hd
  ssd cd dvd gif jpg png pdf svg csv xml json html css js git github cart shop store shopping buy
  sale sell discount percent percentage price cost free fee tax bill delivery shipping track
  tracking return returned exchange position direction navigation route way path traffic timer
  clock alarm history recent update updated upgrade downgrade trend trending growth increase
  decrease rise fall stock market bank banking finance financial business work job office company
  organization management manager admin administration home-alt repeat wind-direction moving motion
  emoji smile smiley happy sad angry zodiac aries taurus gemini cancer leo virgo libra scorpio
  sagittarius capricorn aquarius pisces totem emblem mask wing wings skull rune card cards suit
  cycle cycles strip stripped gold silver recycle recycling eco energy power charge charging
  battery plug socket care health medical therapy doctor nurse patient test testing research
  science study learn learning school education student teacher class quality approved reject
  rejected decline accept block copy paste cut clip print printer speech bubble thought idea
  exclamation quote dot dots dotted dashed dash line lines slashed edge corner border shape shapes
  shared split merge join crop resize expand collapse minimize maximize shrink fit screen display
  monitor remote protocol hot cold speed fastforward ring-volume volume mute muted unmute silent
  vibrate vibration voice speaker playing reminder event date day week month year night daytime
  paper pattern frame background wallpaper section segment layer layers stack model pro premium
  first second third last zero two six seven eight nine ten half-dotted protected protect guard
  safe safety danger dangerous hazard risk crisis emergency eject record recording live stream
  streaming broadcast podcast channel feed subscribe subscription rss login logout log sign-in
  signin signout enter exit leave register registration profile verify verification fingerprint
  biometric token key-frame keyframe command terminal console bug debug fix repair service services
  maintenance tools utility tool configure configuration preference preferences custom customize
  theme dark light-mode contrast brightness opacity saturation exposure focus blur lens aperture
  flash-off flashoff image images photo photos picture pictures gallery album media movie film
  collection library archive inbox outbox sent send receive received draft spam trash junk bin
  ordinary abstract generic unknown other misc various multiple several many more less all none
  any some each both pair hunting fishing vegan vegetarian animal`.split(/\s+/),
);

/** Heads that WordNet calls things but that icons use for interface ideas, or that mean nothing alone. */
const REJECTED_NOUNS = new Set(
  `structure layer filter switch block cell column page frame grid line lines bar bars board box
  panel key keyboard-key item object set pack package part parts piece point points spot place area
  space field zone base center centre top side back front end edge corner tab menu dock tray slot
  screen display monitor window windows tool tools instrument device machine system equipment gear
  facility support stand holder container cover case cap wrap roll sheet strip band loop knot chain
  link connection network net web mesh circuit chip processor port terminal console server database
  modem router hub bus-stop stop station platform exit entrance gate way route path track road lane
  street highway crossing junction intersection bridge-line signal sign symbol mark marker flag
  label tag badge sticker stamp ticket pass card document file folder paper print copy image picture
  photo photograph drawing art design pattern texture color colour paint-color gradient shade
  shadow light dark sun-light flash spark beam ray wave ripple drop droplet point-light bubble spot
  circle square rectangle triangle hexagon pentagon octagon polygon diamond ellipse oval cube sphere
  cylinder cone pyramid prism shape curve arc spiral cross plus minus arrow pointer cursor hand-up
  body face head hand hands finger fingers arm leg foot eye eyes ear nose mouth lip lips tongue
  tooth hair beard muscle bone skin heart brain lung lungs liver kidney stomach blood vein cell-body
  organ joint spine back-body chest breast neck shoulder hip knee ankle wrist palm fist thumb nail
  ground earth world globe planet universe galaxy sky air water fire ice snow rain wind storm cloud
  weather land region country city town village map home-screen building construction work
  creation product goods stock store shop market mall office bank school hospital hotel bar-drink
  restaurant stage scene set-up setup series program channel medium media video audio sound music
  radio-button record recording disk disc drive memory storage stick adapter charger connector plug
  socket outlet battery power meter gauge sensor detector scanner reader writer player recorder
  speaker-sound receiver transmitter controller remote control button knob lever dial slider
  trigger handle grip mount bracket hinge joint seal gasket rest stop-sign return shift space-bar
  escape enter command option tilde caps lock function home house-number next forward rewind
  pause play fast-forward insert delete print-screen scroll zoom capture focus lens aperture
  shutter exposure composition arrangement collection assortment mixture combination array
  matrix vector axis plane-geometry axe-line span stretch bit byte character letter word
  paragraph text font type typeface heading title header footer margin border padding outline
  fill stroke brush-stroke opacity blur contrast trim strike crop cut slice split merge join
  bridge-network ring-road token coin-crypto cash money dollar euro pound yen currency bill
  check receipt cheque credit wealth treasure award prize reward trophy-cup bookmark note memo
  list agenda draft archive library gallery album register pool reserve stack pile heap bundle
  cluster batch group template form format model mode theme style variant version branch fork
  commit node root tree-structure leaf-node child parent sibling fragment remnant remainder trash
  waste garbage dump litter rubbish well source resource supply drain sink-hole hole gap crack
  break fracture breach leak spill overflow surface floor-plan plan blueprint layout schema
  platform-game level stage-game quest dungeon trap hazard obstacle barrier wall-fire firewall
  divider separator splitter spacer turn turning entry approach access pit mine plant process
  facilities line-up lineup queue press stream source-code cream-line squeeze squad hook-up
  whole part unit module component element entity thing stuff matter material substance
  figure doll-figure image-file still animation portrait landscape panorama view horizon vista
  scene-view outlook prospect fixture fitting furnishing decoration ornament accessory attachment
  extension addition add-on annex expansion delivery import export transport transit transfer
  conveyance shipment cargo freight load burden pickup-line rocker swing-line shock crush catch
  game ball-game sport home-run goal score target aim bull-eye dart-game strike-out spare set-point
  go stone move bet stake pot ante tie bow-tie-line blind bluff fold raise call push hit stand-off
  store-front market-place exchange post mail email letter-mail message inbox outbox attachment
  clip pin tack needle-map staple clasp buckle snap clamp vise wedge shim bolt-flash nut-bolt
  fort circuitry harness yoke hitch hook loop-hook snare noose tether leash hail bar-chart pie-chart
  chart graph plot diagram table-data record-data entry-data accessibility rectangle-shape mask
  blank broken interior exterior inside outside shell-command cork compact lumber rule
  seat-belt can-do crown-cap article black white green blue red yellow purple brown pink gray grey
  slide bleach dump bell-curve contact crossbar dash deck detail dust filler finish flow folio
  gene growth guide hang highlight host install joker lap layout-box lock-box magazine-line
  mash medal-line mood pair patch pinch polish proportion quad quarter rack relay relief resort
  retreat rig rim rough row runner scale screen-saver scrub section sector seed-money segment
  setting shot sketch skip span split-screen spray spread stack-layers stall stay step stencil
  sub suite suspension swatch swell tab-bar tail tap tape-drive terminal-line throttle toggle track-line
  trace trail transition translation trim-line up down update vault viewer wand-line weave
  wheel-line wire-line works xray zip access-point acceleration action activity animal-sign
  backspace ban bass beat bin bind bulletin buzz campus cancer canvas carbon
  chat checkbox cinema cleaner clearing clinic college command-line comment community
  complex compound computer-system concert copyright course crosshair dashboard data date
  destination development die directory discount district division documentation domain doubles
  download edge-line education electron emitter engine-line environment exchange-line
  expression facade feedback filing film filter-line flight floor focus-line follow
  foundation four function-key gas general geometry gravity half hash hold
  home-line icon identity illustration import-line index industry information input institution
  integer interchange interface internet inverter isolation journal junction-line kernel
  key-line kit laboratory launch lift liquid live lounge loupe-line margin-line master measure
  mechanism medication medicine memo-line metal method mini mirror-line mixed mobile-line
  mosaic motor-line multiplier museum-line native negative normal number nursery object-line
  one-way onset opening operation order organism organization original output overlay overview
  owner parallel park parking pass-line patient pause-line people percent person phase pixel
  plate-line pointillism policy pollution population position positive post-line preview
  principal printer-line privacy production profile progress project property protection
  publication pull push-line quality question quote radius random rating reaction reader-line
  reception recess rectangle-line recycle reduction reference refinery reflection refuge
  relation remote-line repeat replay report request research residence response reverse review
  revolution right-angle ring-line room rotation safe-line sample satellite-line save scan
  schedule screenshot script search security select selection sequence service share-line shelter
  sign-line simulation site situation size skill slash sleep slip smoke smoking software solution
  sort sort-line spacing special sphere-line spread-line stability standard star-line start
  statement station-line status steam storage-line strategy stress string strip-line strong
  structure-line student style-line subject subscription substation substitute subway success sum
  summit support-line surgery survey sustainability sync system-line talk target-line task team
  tension term test testimony theater theatre thread ticket-line tile time tip tool-line
  total touch tower-line trade traffic training transform trap-line travel treatment trend
  trial tunnel-line type-line union unit-line user utility vacuum-line value variable
  verification vertical video-line view-line virus vision voice void volume waiting walk warehouse
  warning wave-line weight wild wireless wizard-line word-line workspace wrapper write zone-line
  rat-line beta alpha gamma delta sigma omega pi`.split(/\s+/),
);

/** Names of the 158 that mean something else in interface icon collections. */
const AMBIGUOUS_ALONE = new Set(
  `mouse apple orange radio fork ring palm pen-tool watch tree bug corn key cup glass train shell
  chicken star-half saw rose iris fir drum-line rocket-chat bear swift kiwi peach tv-app`.split(
    /\s+/,
  ),
);
/** Collections of drawings of things, where even those names can be taken at their word. */
const LITERAL_SETS = new Set(
  `game-icons icon-park icon-park-outline icon-park-solid icon-park-twotone noto emojione-monotone
  streamline-kameleon-color pinhead fa-solid fa6-solid fa7-solid lucide lucide-lab tabler
  streamline-plump streamline-plump-color hugeicons`.split(/\s+/),
);
/** Ambiguous almost everywhere: taken only together with another word ("shutter apple" never, "red apple" yes). */
const NEVER_ALONE = new Set(["mouse", "radio", "palm", "ring"]);

/** The words of an icon's name without what only tells its style or number. */
export function iconWords(name: string): string[] {
  const words = name
    .toLowerCase()
    .split(/[-_ ]+/)
    .map((word) => word.replace(/^(\D{3,})\d+$/, "$1"))
    .filter((word) => word !== "" && !/^\d+(x\d+)?(px)?$/.test(word));
  while (words.length > 1 && STYLE_WORDS.has(words.at(-1)!)) words.pop();
  while (words.length > 1 && (words[0] === "baseline" || words[0] === "ic")) words.shift();
  return words;
}

/** What a plain icon shows, by its name; null where the name does not tell. */
export function nounOfIcon(name: string, set: string, book: NounBook): string | null {
  let words = iconWords(name);
  if (words.length === 0 || words.length > 3) return null;
  // Trees of catalogues: "food-apple", "animal-dog", "fruit-pear".
  if (words.length > 1 && /^(food|fruit|animal|vegetable|nature|plant|furniture|toy)$/.test(words[0]!)) {
    words = words.slice(1);
  }
  while (words.length > 1 && TRAILING_WORDS.has(words.at(-1)!)) words.pop();
  const text = words.join(" ");
  if (words.length > 1 && words.some((word) => REJECTED_WORDS.has(word))) {
    const kept = ["police car", "fire truck", "ice cream", "soccer ball", "hot air balloon"];
    if (!kept.includes(text) && !book.isThing(text)) return null;
  }
  const found = classOfText(text, true);
  if (found !== null) {
    if (words.length === 1 && AMBIGUOUS_ALONE.has(words[0]!)) {
      if (NEVER_ALONE.has(words[0]!) && set !== "game-icons") return null;
      if (!LITERAL_SETS.has(set)) return null;
    }
    if (text === "notebook" || text === "horn") return null;
    return found;
  }
  // A text that only an exclusion kept from a class ("hot dog") may still be a thing of its own.
  for (const candidate of words.length > 1 ? [text, words.at(-1)!] : [text]) {
    const noun = candidate
      .split(" ")
      .map((word, i, all) => (i === all.length - 1 ? book.singular(word) : word))
      .join(" ");
    if (noun.length < 3 || REJECTED_NOUNS.has(noun) || !book.isThing(noun)) continue;
    // The head alone must not silently become a class that the rules refused for the whole name.
    if (classIndex(noun) > 0 || classOfText(noun, true) !== null) return null;
    return noun;
  }
  return null;
}

interface EmojiEntry {
  readonly label: string;
  readonly hexcode: string;
  readonly group?: number;
  readonly subgroup?: number;
}

/** emojibase groups: animals, food, travel, activities, objects. */
const THING_GROUPS = new Set([3, 4, 5, 6, 7]);
const PERSON_GROUP = 1;
/** Subgroups of persons as a whole: person, role, fantasy, activity, sport. */
const PERSON_SUBGROUPS = new Set([23, 25, 26, 27, 28]);

/** What an emoji shows, by its annotation; null for faces, gestures, signs and flags. */
function nounOfEmoji(label: string, entry: EmojiEntry | undefined, book: NounBook): string | null {
  const found = classOfEmoji(label);
  if (found !== null) return found;
  if (entry === undefined || label.includes(":") || label.includes("clock")) return null;
  if (entry.group === PERSON_GROUP && PERSON_SUBGROUPS.has(entry.subgroup ?? -1)) {
    return /skin|facing|hair|gestur|beard/.test(label) ? null : plainText(label).replace(/^people$/, "person");
  }
  if (!THING_GROUPS.has(entry.group ?? -1)) return null;
  const text = plainText(label).replace(/ face$/, "");
  if (classIndex(text) > 0) return text;
  const words = text.split(" ");
  if (words.length > 3) return null;
  if (words.some((word) => ["sign", "button", "symbol", "mark"].includes(word))) return null;
  if (book.isThing(text)) return text;
  const head = book.singular(words.at(-1)!);
  if (!book.isThing(head) || REJECTED_NOUNS.has(head)) return null;
  return [...words.slice(0, -1), head].join(" ");
}

/** The folders of one installation, see scripts/setup-scenes.mjs. */
function folders(root: string) {
  const modules = join(root, "npm", "node_modules");
  const share = join(root, "debian", "root", "usr", "share");
  return {
    iconify: join(modules, "@iconify", "json"),
    fluent3d: join(modules, "@lobehub", "fluent-emoji-3d", "assets"),
    openmoji: join(modules, "openmoji"),
    emojibase: join(modules, "emojibase-data", "en", "data.json"),
    wordnet: join(share, "wordnet"),
    stamps: [join(share, "tuxpaint", "stamps")],
    templates: join(share, "tuxpaint", "templates"),
    mate: join(share, "backgrounds", "mate"),
  };
}

function readJson(file: string): unknown {
  return JSON.parse(readFileSync(file, "utf8"));
}

interface IconSet {
  icons: Record<string, { body: string; width?: number; height?: number; left?: number; top?: number }>;
  width?: number;
  height?: number;
  suffixes?: Record<string, string>;
}
interface IconSetInfo {
  name: string;
  author: { name: string; url?: string };
  license: { title: string; spdx?: string; url?: string };
  category?: string;
  palette?: boolean;
}

function svgOf(set: IconSet, name: string): string {
  const icon = set.icons[name]!;
  const width = icon.width ?? set.width ?? 16;
  const height = icon.height ?? set.height ?? 16;
  const box = `${icon.left ?? 0} ${icon.top ?? 0} ${width} ${height}`;
  return `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="${box}" width="${width}" height="${height}">${icon.body}</svg>`;
}

function withoutSuffix(name: string, set: IconSet): string {
  let best = "";
  for (const suffix of Object.keys(set.suffixes ?? {})) {
    if (suffix.length > best.length && name.endsWith(`-${suffix}`)) best = suffix;
  }
  return best === "" ? name : name.slice(0, -best.length - 1);
}

function readIconSets(root: string, book: NounBook, byLabel: Map<string, EmojiEntry>) {
  const folder = folders(root).iconify;
  const infos = readJson(join(folder, "collections.json")) as Record<string, IconSetInfo>;
  const cutouts: Source[] = [];
  const attributions: Attribution[] = [];
  for (const prefix of Object.keys(infos).sort()) {
    const info = infos[prefix]!;
    const licence = info.license.spdx ?? info.license.title;
    if (HELD_OUT_STYLES.has(prefix) || SKIPPED_SETS.has(prefix)) continue;
    if (SKIPPED_CATEGORIES.has(info.category ?? "") || /brands?$/.test(prefix)) continue;
    // Licences that forbid commercial use would bind whoever uses what was learnt.
    if (/NC|non-?commercial/i.test(licence)) continue;
    const set = readJson(join(folder, "json", `${prefix}.json`)) as IconSet;
    const emoji = EMOJI_SETS.has(prefix);
    const before = cutouts.length;
    const seen = new Set<string>();
    for (const name of Object.keys(set.icons).sort()) {
      const label = name.replace(/-\d+$/, "").replaceAll("-", " ");
      const noun = emoji
        ? nounOfEmoji(label, byLabel.get(plainText(label)), book)
        : nounOfIcon(withoutSuffix(name, set), prefix, book);
      if (noun === null) continue;
      const body = set.icons[name]!.body;
      // Fluent draws every icon in up to seven sizes and other sets repeat drawings under new names.
      const key = prefix === "fluent" ? name.replace(/-\d+-/, "-") : body;
      if (seen.has(key)) continue;
      seen.add(key);
      cutouts.push({
        id: `${prefix}/${name}`,
        set: prefix,
        style: emoji ? "emoji" : "icon",
        split: "train",
        noun,
        colour: info.palette === true,
        licence,
        body: { svg: svgOf(set, name) },
      });
    }
    if (cutouts.length > before) {
      attributions.push({
        set: prefix,
        title: info.name,
        author: info.author.name,
        url: info.author.url ?? info.license.url ?? "",
        licence,
      });
    }
  }
  return { cutouts, attributions };
}

function readFluent3d(root: string, book: NounBook, entries: EmojiEntry[]): Source[] {
  const folder = folders(root).fluent3d;
  const cutouts: Source[] = [];
  for (const entry of entries) {
    const noun = nounOfEmoji(entry.label, entry, book);
    if (noun === null) continue;
    const hex = entry.hexcode.toLowerCase();
    const file = [hex, `${hex}-fe0f`, hex.replace(/-fe0f$/, "")]
      .map((code) => join(folder, `${code}.webp`))
      .find(existsSync);
    if (file === undefined) continue;
    cutouts.push({
      id: `fluent-3d/${hex}`,
      set: "fluent-3d",
      style: "emoji",
      split: "train",
      noun,
      colour: true,
      licence: "MIT",
      body: { file },
    });
  }
  return cutouts;
}

function readOpenmoji(root: string, book: NounBook, byLabel: Map<string, EmojiEntry>): Source[] {
  const folder = folders(root).openmoji;
  const list = readJson(join(folder, "data", "openmoji.json")) as {
    hexcode: string;
    annotation: string;
    skintone: string | number;
  }[];
  const cutouts: Source[] = [];
  for (const { hexcode, annotation, skintone } of list) {
    if (skintone !== "") continue;
    const noun = nounOfEmoji(annotation, byLabel.get(plainText(annotation)), book);
    const file = join(folder, "color", "svg", `${hexcode}.svg`);
    if (noun === null || classIndex(noun) === 0 || !existsSync(file)) continue;
    cutouts.push({
      id: `openmoji/${hexcode}`,
      set: "openmoji",
      style: "emoji",
      split: "held-out",
      noun,
      colour: true,
      licence: "CC-BY-SA-4.0",
      body: { file },
    });
  }
  return cutouts;
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/** True for the third of the stamps that training must not see; variants of a name stay together. */
export function isHeldOutStamp(file: string): boolean {
  const stem = basename(file, extname(file)).toLowerCase().replace(/_mirror(_flip)?$/, "");
  return fnv1a(stem) % 3 === 0;
}

/** Folders of stamps that show signs, letters, coins and other things without a useful noun. */
const SKIPPED_STAMPS = /\/(symbols\/(money|math|alphabets|faces|music|chess|shapes)|town\/(flags|roadsigns)|ammunition|space\/moon)\//;

/** The noun phrase of a stamp's description, e.g. "A computer mouse. Squeak!" gives "computer mouse". */
function nounOfStamp(description: string, stem: string, book: NounBook): string | null {
  const sentence = description.split(/[.!?,;:(]/)[0]!;
  const text = plainText(sentence).replace(/^(a pair of|a|an|the|some|this is an?) /, "");
  const name = plainText(stem.replace(/[0-9]+/g, " "));
  // The description is the better witness; the file name helps where it is a whole sentence.
  const found = classOfText(text, true) ?? (text.split(" ").length > 3 ? classOfText(name, true) : null);
  if (found !== null) return found;
  const words = text.split(" ");
  const tries = [text, words.slice(-2).join(" "), words.at(-1)!, name, name.split(" ").at(-1)!];
  for (const candidate of tries) {
    const noun = book.singular(candidate);
    if (noun.length < 3 || REJECTED_NOUNS.has(noun) || !book.isThing(noun)) continue;
    return classOfText(noun, true) === null && classIndex(noun) === 0 ? noun : null;
  }
  return null;
}

function readStamps(root: string, book: NounBook): Source[] {
  const cutouts: Source[] = [];
  for (const folder of folders(root).stamps) {
    for (const file of filesBelow(folder)) {
      if (!/\.(png|svg)$/.test(file) || /_mirror/.test(file) || SKIPPED_STAMPS.test(file)) continue;
      const text = file.replace(/\.(png|svg)$/, ".txt");
      const description = existsSync(text) ? readFileSync(text, "utf8").split("\n")[0]! : "";
      const noun = nounOfStamp(description, basename(file, extname(file)), book);
      if (noun === null) continue;
      const drawn = /\.svg$|cartoon/.test(file.slice(folder.length));
      cutouts.push({
        id: `tuxpaint${file.slice(folder.length)}`,
        set: "tuxpaint",
        style: drawn ? "drawing" : "photo",
        split: isHeldOutStamp(file) ? "held-out" : "train",
        noun,
        colour: true,
        licence: "GPL-2.0-or-later",
        body: { file },
      });
    }
  }
  return cutouts;
}

/** Photographs without any of the 158 classes in them, reviewed by eye, and what they show. */
const BACKGROUND_NOUNS: Record<string, string | null> = {
  "burnt_bark.jpg": "bark",
  "cliff.jpg": "cliff",
  "mossy_bark.jpg": "bark",
  "mudstone.jpg": "stone",
  "ocean_splash.jpg": "sea",
  "ocean_waves.jpg": "sea",
  "rocks.jpg": "rocks",
  "Aqua.jpg": "water",
  "Blinds.jpg": null,
  "Dune.jpg": "sand",
  "GreenMeadow.jpg": "meadow",
  "RainDrops.jpg": "water",
  "Storm.jpg": "sky",
  "Wood.jpg": "wood",
  "Flow.png": null,
  "Gulp.png": null,
  "Silk.png": null,
  "Spring.png": null,
  "Waves.png": null,
  "GreenTraditional.jpg": null,
  "Stripes.png": null,
};

function readBackgrounds(root: string): BackgroundSource[] {
  const { templates, mate } = folders(root);
  return [templates, mate]
    .filter(existsSync)
    .flatMap(filesBelow)
    .filter((file) => basename(file) in BACKGROUND_NOUNS)
    .map((file) => ({
      id: `background/${basename(file)}`,
      file,
      split: fnv1a(basename(file)) % 3 === 0 ? "held-out" : "train",
      noun: BACKGROUND_NOUNS[basename(file)] ?? null,
    }));
}

/**
 * Lists every usable cut-out and background under `root` (made by scripts/setup-scenes.mjs).
 * Nothing is rasterised; the order is the same on every machine with the same packages.
 * @throws InputError where the installation is missing.
 */
export function readSources(root: string): Sources {
  const places = folders(root);
  for (const file of [places.emojibase, join(places.iconify, "collections.json"), places.wordnet]) {
    if (!existsSync(file)) {
      throw new InputError(`scene sources lack ${file}; run "node scripts/setup-scenes.mjs" first`);
    }
  }
  const book = readNounBook(places.wordnet);
  const entries = readJson(places.emojibase) as EmojiEntry[];
  const byLabel = new Map(entries.map((entry) => [plainText(entry.label), entry]));
  const icons = readIconSets(root, book, byLabel);
  const stamps = readStamps(root, book);
  return {
    cutouts: [
      ...icons.cutouts,
      ...readFluent3d(root, book, entries),
      ...stamps,
      ...readOpenmoji(root, book, byLabel),
    ],
    backgrounds: readBackgrounds(root),
    attributions: [
      ...icons.attributions,
      {
        set: "fluent-3d",
        title: "Fluent emoji, three-dimensional",
        author: "Microsoft",
        url: "https://github.com/microsoft/fluentui-emoji",
        licence: "MIT",
      },
      {
        set: "tuxpaint",
        title: "Tux Paint stamps, templates",
        author: "the Tux Paint developers",
        url: "https://tuxpaint.org",
        licence: "GPL-2.0-or-later",
      },
      {
        set: "mate-backgrounds",
        title: "MATE desktop backgrounds",
        author: "the MATE developers",
        url: "https://mate-desktop.org",
        licence: "GPL-2.0-or-later and CC-BY-SA",
      },
    ],
  };
}
