// Words that keep an icon from being taken for a thing: an interface icon is named after what it does.

const list = (words: string): ReadonlySet<string> => new Set(words.trim().split(/\s+/));

/** Interface verbs and badges: an icon whose name holds one shows more, or less, than its noun. */
export const REJECTED_WORDS = list(`
  a abstract accept account action actions active activity add admin administration ai alarm album
  alert align alignment all amazon analytics and android angry animal any aperture api app
  approved apps aquarius ar archive aries arrow arrows at audio auto automatic b background badge
  badged ban bank banking battery bill bin biometric bitcoin block blocked bluetooth blur bookmark
  border both bottom boy brand brightness broadcast broken browser bubble bug business button buy
  by c calendar call calling cancel cancer capricorn card cards care cart cash cd channel charge
  charging chart chat check checked checkmark child circle class click clip clock cloud code
  coding cog cold collapse collection column command comment company complete completed
  configuration configure connect connected console contrast control controls copy corner cost
  crisis crop cross crossed crypto css csv cursor custom customize cut cycle cycles d danger
  dangerous dark dash dashed data database date day daytime debug decline decrease delete delivery
  device devices digital direction disable disabled disconnect disconnected discount display do
  doc docs doctor document dollar done dont dot dots dotted down downgrade download draft drag
  drop dvd e each eco edge edit education eight eject email emblem emergency emoji enable enabled
  energy enter error euro event exchange exclamation exit expand export exposure facebook failed
  fall family fast fastforward favorite favourite fee feed file files film filter finance
  financial find fingerprint first fishing fit five fix flashoff flip focus folder font for four
  frame free from g gallery gear gemini generic gesture gif girl git github global gold google
  graph grid group growth guard h hand happy hazard hd health heart help high history hot html
  hunting i id idea image images import in inactive inbox incoming increase info information
  insert international ios j job join jpg js json junk k keyframe l last layer layers layout learn
  learning leave lens leo less letter level libra library like line lines link linux list live
  local location lock locked log login logo logout love low m mail maintenance man management
  manager manual many map marker market mask maximize media medical medium men merge message
  method microsoft minimize minus misc missed mode model money monitor month more motion move
  movie moving multiple music mute muted n navigation network next nfc nft night nine no none not
  notification notifications number nurse of off office offline on one online opacity option
  options or ordinary organization other outbox outgoing p page pair paper paste path patient
  pattern pause pay payment pdf pending people percent percentage person photo photos picture
  pictures pin pinch pisces play playing plug plus png podcast poi pointer position pound power
  preference preferences premium prev previous price print printer privacy private pro profile
  protect protected protocol public q quality question quote r receive received recent record
  recording rectangle recycle recycling refresh register registration reject rejected reload
  reminder remote remove repair repeat report research reset resize restart return returned rise
  risk rotate rotation rounded route row rss ruble rune rupee sad safe safety sagittarius sale
  saturation scan schedule school science scorpio screen sd search second section secure security
  segment select selection sell send sent server service services set setting settings seven
  several shape shapes share shared sharing shield shipping shop shopping shrink shuffle sign
  signal signin signout silent silver six skip skull slash slashed slow smart smile smiley sms
  socket some sort sound spam sparkle sparkles speaker speech speed split square squared ssd stack
  star state status stock stop store stream streaming strike strip stripped stroke student study
  subscribe subscription success suit svg swap swipe switch symbol sync system t tag tap taurus
  tax teacher team ten terminal test testing text the theme therapy third thought three tick time
  timer to token tool tools top totem touch track tracking traffic transfer trash trend trending
  twitter two type types u unknown unlock unlocked unmute up update updated upgrade upload usb
  user users utility v various vegan vegetarian verification verified verify vibrate vibration
  video view vip virgo virtual voice volume vr w wallpaper warning way web week wifi window
  windows wing wings with without woman women work world x xml y year yen z zero zodiac zoom
`);

/** Heads that WordNet calls things but that icons use for interface ideas, or that mean nothing alone. */
export const REJECTED_NOUNS: ReadonlySet<string> = new Set([
  ...list(`
  acceleration access accessibility accessory action activity adapter addition adhesive africa
  agenda agent aid aim air airport album alcohol alpha alternator android animation ankle annex
  ante antenna apartment aperture approach arc architecture archive area arm arrangement array
  arrow art article asia assembly assortment atom attachment attic audio award axis back backspace
  bacteria badge ban band bank bar barrier bars base bass batch bath bathroom battery beach beam
  bean beard beat bedrock bet beta bill bin binary bind binding bit black blade blank bleach blind
  block blood blue blueprint bluff blur board body boiler bone bookmark booth bootstrap border bot
  bow box braces bracket brain branch breach break breakfast breast broken brown bubble buckle
  building bulletin bumper bundle burden button buzz byte cable cache cafe call camp campus can
  cancer cane canvas cap caps capture carbon card cargo carousel cascade case cash casino catch
  cell center centre chain channel character charger chart chat check checkbox cheque chess chest
  child chip cinema circle circuit circuitry city cityscape clamp clasp classroom claw cleaner
  clearing clinic clip closet clothes cloud cluster collage collection college color colors colour
  column combination combine command comment commit commodity community compact complex component
  composition compost compound compress concert cone confetti connection connector console
  construction contact container contrast control controller conveyance copy copyright cork corner
  counter country course cover crack creation credit cricket crop cross crossbar crosshair
  crossing crush crust cube currency cursor curve cut cutlery cyclone cylinder dark dash dashboard
  data database date deck decoration delete delicious delivery delta design destination detail
  detector development device diagram dial diamond die diet dinner dip directory disc discount
  dish disk display district divider division dna dock document documentation dollar domain
  doubles down download draft drain draw drawing drill drink drive drop droplet dump dungeon
  duplicate duplicator dust ear earth edge education electric electron element ellipse email
  embassy emitter empty end engine enter entity entrance entry environment equalizer equipment
  escape ethernet euro europe exchange exit expansion export exposure expression extension
  exterior eye eyes facade face facilities facility farm feed feedback female femur field figure
  file filing fill filler film filter finger fingers finish fire firewall first fist fitting
  fixture flag flash flight float floor floppy flow fluorescent flyer focus fog foggy fold folder
  folio follow font foot footer fork form format fort forward foundation four fracture fragment
  frame freight front fruit function furnishing fuse galaxy gallery game gameboy gamma gap garbage
  garden gas gasket gate gateway gather gauge gear gene general geometry globe glyph go goal goods
  gps grab gradient graph gravity gray green grey grid grip grocery ground group growth guide gun
  gym hail hair half hallway hand handle hands hang hardware harness hash hazard head header
  heading heap heart helm herb hexagon highlight highway hinge hip hit hitch hold holder hole home
  hook hookup horizon hospital host hotel hotspring hub human humerus ice icon identity
  illustration image import inbox index industry information input insert inside install
  institution instrument integer interchange interface interior internet intersection interval
  inverter island isolation item jam japanese jewelry join joint joker journal junction kaaba
  kernel key kidney kill kiosk kit kitchen knee knob knot lab label laboratory lan land landing
  landscape lane lap lather launch laundry layer layout lead leak leash leg lens letter level
  lever library lift light line lines lineup link lip lips liquid liquor list litter live liver
  load loading lock locker loop lounge loupe lower lumber lunch lung lungs mac machine magnetic
  magnifier mail male mall map margin mark marker market mars mash mask master mastodon match
  material matrix matter max meal measure mechanism medal media medication medicine medium memo
  memory menu merge mesh message metal meter method metro mine mini minus mix mixed mixture mode
  model modeling modem module money monitor mood mosaic motorway mount mouth move msg multiplier
  muscle museum music nail narrow native neck needle negative net network next node noose normal
  nose note number nursery nut object obstacle octagon office omega onset opacity opening
  operation optic optician option order organ organism organization original ornament outbox
  outlet outline outlook output outside oval overflow overlay overview owner pack package padding
  page paint pair palm pane panel panorama paper paragraph parallel parent park parking part
  partition parts pass passkey patch path patient patio pattern pause pentagon people percent
  person phase photo photograph photosphere pi picture piece pile pin pinch pink pipe pit pixel
  place plan planet plant plate platform play player plot plug plus pocket pod point pointer
  pointillism points policy polish pollen polling pollution polygon pool population port portfolio
  portrait position positive post pot pound power press preview principal print prism privacy
  prize process processor product production profile program progress project prop property
  proportion prospect protection publication pull pulse pump purifier purple push pyramid python
  quad quality quarter queen quest question queue quote rack radar radius rag rail railing railway
  rain raise ramp random range rating ray reaction reader receipt receiver reception recess record
  recorder recording rectangle recycle red reduction reel reference refinery reflection refuge
  region register relation relay release relief remainder remnant remote repeat replay replica
  report repository request research reserve reset residence resistor resort resource response
  rest restaurant restroom retreat return reverse review revolution reward rewind rig rim ripple
  road rock rocker roll roof roofing room rooms root rotation rotor rough round roundabout route
  router row rubbish rule runner sample sandbox save scale scan scanner scene schedule schema
  school score scratch screen screenshot script scroll scrub seal search section sector security
  seed seedling segment select selection sensor separator sequence series server service set
  setting setup shade shades shadow shape sheer sheet shelf shell shelter shift shim shipment
  shock shop short shortcut shot shoulder shower shutter shuttle sibling side sigma sign signal
  simulation site situation size sketch skill skin skip sky slash sleep slice slide slider slip
  slot smoke smoking snack snap snapshot snare snow socket software solution sort sound source
  space spacer spacing spade spam span spare spark special sperm sphere spike spill spine spiral
  split splitter sport sports spot spray spread squad square squeeze stability stack stadium stage
  stairway stake stall stamp stand standard staple start statement station status stay steam
  stencil step steps stick sticker still stock stomach stone stop storage store storm strategy
  stream street stress stretch strike string strip stripe stroke strong structure student studio
  stuff style sub subject subscription substance substation substitute subway subwoofer success
  suite sum summit sunrise sunset supply support surface surgery survey suspension sustainability
  swatch sweat swell switch symbol sync system tab tachometer tack tag tail takeaway talk tank tap
  tapa tape target task team tear tee template tension term terminal test testimony tether text
  texture theater theatre theme thing thread threads throttle thumb thumbnail tibia ticket tie
  tilde tile time timer tip title toggle token tolerance tongue tool tools tooth top total tote
  touch tower town toy trace track trade traffic trail training transfer transform transit
  transition translation transmission transmitter transport transportation trap trash travel tray
  treasure treatment trend trial triangle trigger trim tube turn turning type typeface uniform
  union unit universe up update upgrade upper user utensil utility value variable variant vault
  vector vein vellum vent ventilator venus verification version vertical vial video view viewer
  village virus vise vision vista voice void volume waiting walk wall warehouse warning wash waste
  water waterproof wave way wealth weather weave web wedge weight well white whole widget wifi
  wild wind window windows wireless word work working works workspace world wrap wrapper wrist
  write writer xray yellow yen yoke zip zone zoom
  `),
  "antarctica",
  "pix",
  "coil",
  "diode",
  // Of more than one word.
  "black hole",
  "rest area",
  "golf hole",
  "golf course",
  "gas meter",
  "electric meter",
  "baggage claim",
  "diamond suit",
  "club suit",
  "heart suit",
  "spade suit",
  "hot spring",
  "bridge at night",
  "milky way",
  "night with stars",
  "first quarter moon",
  "new moon",
  "file folder",
  "signal tower",
  "department store",
  "hard disk",
]);
