// The 158 classes, one a line: `class|emoji names|pattern on descriptions|what excludes a match`.

export const CLASS_RULE_LINES = `dog|dog face,dog,guide dog,service dog,poodle|\\b(dog|puppy|dalmatian|terrier|hound)s?\\b|hot.?dog|chihuahua|dog,puppy
cat|cat face,cat,black cat|\\b(cat|kitten|kitty)s?\\b|cat5|caterpillar
horse|horse face,horse|\\b(horse|mare|foal|pony|stallion)s?\\b|sea.?horse|rocking|chess|knight
cow|cow face,cow,ox|\\b(cow|calf|bull|cattle)s?\\b|boy|girl|bull.?doz
pig|pig face,pig|\\b(pig|sow|piglet|hog)s?\\b|guinea|bank|hedge|piggy
sheep|ewe,ram|\\b(sheep|ewe|lamb|ram)s?\\b|computer|memory
goat|goat|\\bgoats?\\b|
mouse|mouse face,mouse,rat|\\b(mouse|mice|rat|hamster)s?\\b|computer|optical|hardware|input|pad|wheel|usb|device
rabbit|rabbit face,rabbit|\\b(rabbit|bunny|hare)s?\\b|
bear|bear,polar bear|\\bbears?\\b|teddy|toy
monkey|monkey face,monkey|\\b(monkey|chimp\\w*|ape|baboon|macaque)s?\\b|wrench
elephant|elephant|\\belephants?\\b|
lion|lion|\\blion(ess)?s?\\b|sea.?lion|dandelion|mountain
tiger|tiger face,tiger|\\btigers?\\b|lily
zebra|zebra|\\bzebras?\\b|cross
giraffe|giraffe|\\bgiraffes?\\b|
deer|deer,moose|\\b(deer|doe|stag|caribou|elk|wapiti|reindeer|moose|fawn)\\b|
fox|fox|\\bfox(es)?\\b|fire
kangaroo|kangaroo|\\bkangaroos?\\b|
frog|frog|\\b(frog|toad)s?\\b|stool
turtle|turtle|\\b(turtle|tortoise)s?\\b|
snake|snake|\\b(snake|cobra|viper)s?\\b|
crocodile|crocodile|\\b(crocodile|alligator)s?\\b|
fish|fish,tropical fish|\\b(fish|clownfish|butterflyfish|goldfish|trout|salmon|carp|wrasse|groper|tuna|dolphinfish|koi)\\b|jelly|star.?fish|cray|craw|hook|fishing|fishbone|skeleton
shark|shark|\\bsharks?\\b|
whale|spouting whale,whale|\\b(whale|orca)s?\\b|
dolphin|dolphin|\\bdolphins?\\b|fish
crab|crab|\\bcrabs?\\b|
snail|snail|\\bsnails?\\b|
butterfly|butterfly|\\bbutterfl(y|ies)\\b|fish|bow
bee|honeybee|\\b(bee|honeybee|bumblebee|hornet|wasp|hoverfly)s?\\b|hive
spider|spider|\\bspiders?\\b|web$
ladybug|lady beetle|\\b(lady ?(bug|bird|beetle)|coccinelle)s?\\b|
chicken|chicken,rooster|\\b(chicken|hen|rooster|cock)s?\\b|roast|leg|dinner|pox|wing|peacock
duck|duck|\\b(duck|drake|mallard|duckling)s?\\b|rubber|tape
owl|owl|\\bowls?\\b|
penguin|penguin|\\bpenguins?\\b|tux|linux
eagle|eagle|\\b(eagle|hawk|falcon)s?\\b|
parrot|parrot|\\b(parrot|rosella|macaw|cockat\\w+|lorikeet|budgie)s?\\b|
apple|red apple,green apple|\\bapples?\\b|pine|mac|core|powerbook|ipod|computer
banana|banana|\\bbananas?\\b|
orange|tangerine|\\b(orange|mandarin|tangerine)s?\\b|orange (juice|square|circle|button|icon|flower|book|arrow)|juice|juggling|glass|hat|star|folder|ball|car\\b|shirt|pencil|flag|marker
lemon|lemon|\\blemons?\\b|theme|icon
pear|pear|\\bpears?\\b|prickly
peach|peach|\\b(peach|apricot|nectarine)(es|s)?\\b|princess
cherries|cherries|\\bcherr(y|ies)\\b|blossom|tree|tomato
strawberry|strawberry|\\bstrawberr(y|ies)\\b|cake|shortcake|ice|tart
grapes|grapes|\\bgrapes?\\b|fruit|wine|hyacinth
watermelon|watermelon|\\bwatermelons?\\b|
pineapple|pineapple|\\bpineapples?\\b|
kiwi|kiwi fruit|\\bkiwi(fruit)?s?\\b|bird
tomato|tomato|\\btomato(es)?\\b|
carrot|carrot|\\bcarrots?\\b|cake
corn|ear of corn|\\b(corn|maize|sweetcorn)\\b|pop|acorn|uni|candy
eggplant|eggplant|\\b(eggplant|aubergine)s?\\b|
pepper|hot pepper,bell pepper|\\b(pepper|chil[ei]|chilli|capsicum|paprika)s?\\b|mill|salt|grinder|mint|shaker
potato|potato,roasted sweet potato|\\b(potato|yam)(es|s)?\\b|chip|couch
onion|onion,garlic|\\b(onion|garlic)s?\\b|
broccoli|broccoli|\\b(broccoli|cauliflower|lettuce|cabbage)\\b|bolted
mushroom|mushroom,brown mushroom|\\b(mushroom|cep|toadstool|fungus|amanita)s?\\b|
bread|bread,baguette bread|\\b(bread|loaf|toast|baguette)\\b|bin|crumb|ginger|toaster|banana
cheese|cheese wedge|\\bcheese\\b|say|burger|cake|camera
egg|egg,cooking|\\beggs?\\b|plant|easter|cup|timer|nog
hamburger|hamburger|\\b((ham|cheese)?burger)s?\\b|
pizza|pizza|\\bpizzas?\\b|
cake|birthday cake,shortcake,cupcake|\\b(cake|cupcake)s?\\b|pan|cheese
cookie|cookie|\\b(cookie|biscuit)s?\\b|
ice cream|soft ice cream,ice cream,shaved ice|\\b(ice.?cream|icecream|sundae|popsicle)s?\\b|
candy|candy,lollipop|\\b(candy|candies|lollipop|sweet|candy cane)s?\\b|corn|potato
car|automobile,oncoming automobile,sport utility vehicle,racing car|\\b(car|sedan|automobile|beetle|jeep|vw|convertible|porsche)s?\\b|card|cable|rail|insect|bug|police|cart|caboose|parking|truck|box|hire|ferry|rental|emblem
police car|police car,oncoming police car|\\bpolice ?car\\b|emblem
bus|bus,oncoming bus,trolleybus,minibus|\\b(bus|schoolbus|minibus)(es)?\\b|stop|usb
truck|delivery truck,articulated lorry,pickup truck|\\b(truck|lorry|pickup|dump ?truck|dumper)s?\\b|fire
fire truck|fire engine|\\bfire ?(truck|engine)s?\\b|
tractor|tractor|\\btractors?\\b|wheel
bicycle|bicycle|\\b(bicycle|bike|cycle)s?\\b|motor|wheel|exercise|lane|path|route
motorcycle|motorcycle,motor scooter|\\b(motor ?(bike|cycle)|scooter|moped|vespa)s?\\b|
train|locomotive,train,metro,tram,high-speed train|\\b(train|locomotive|tram|steam ?engine)s?\\b|training|station|stop
airplane|airplane,small airplane,airplane departure,airplane arrival|\\b(air ?plane|aeroplane|aircraft|jet|biplane|plane|avion|f-?22|spitfire|boeing)s?\\b|port|geometry|paper|ink|carpent
helicopter|helicopter|\\bhelicopters?\\b|
rocket|rocket|\\b(rocket|space ?shuttle)s?\\b|salad|apollo
boat|sailboat,speedboat,motor boat,canoe|\\b(boat|sail ?boat|canoe|kayak|yacht|sailing ship|dinghy)s?\\b|house|gravy
ship|ship,passenger ship,ferry|\\b(ship|ferry|steamer|liner|tanker|freighter)s?\\b|space|star|friend|truck|wheel|sailing
tree|evergreen tree,deciduous tree,Christmas tree|\\b(tree|oak|birch|pine|fir|sapin)s?\\b|family|binary|palm|directory|decision|frog|apple|needle
palm tree|palm tree|\\bpalms?\\b|hand|pda|pilot|handheld|top
cactus|cactus|\\bcact(us|i)\\b|
flower|cherry blossom,hibiscus,blossom,hyacinth,white flower,lotus|\\b(flower|hibiscus|daisy|petunia|anemone|iris|lily|orchid|daffodil|anthurium|poppy|marigold|dahlia|lotus|blossom)s?\\b|pot|girl|sun.?flower|flour|wall|border|pattern|frame|drug
rose|rose|\\broses?\\b|compass|wind|desert|window|wine|sea|primrose|font
sunflower|sunflower|\\bsunflowers?\\b|
tulip|tulip|\\btulips?\\b|
leaf|maple leaf,fallen leaf|\\b(leaf|leaves)\\b|clover|table|rake|tea|lettuce|four|gold
chair|chair|\\b(chair|armchair|stool|rocking chair)s?\\b|wheel|toad|lift
couch|couch and lamp|\\b(couch|sofa|settee)s?\\b|
bed|bed|\\bbeds?\\b|bug|flower|seed
lamp|flashlight,diya lamp,red paper lantern|\\b(lamp|lantern|flashlight|torch)s?\\b|post|light ?bulb|jack|led\\b|traffic
light bulb|light bulb|\\b(light ?bulb|bulb)s?\\b|tulip|flower|christmas|camera
candle|candle|\\b(candle|tealight)s?\\b|
clock|alarm clock,mantelpiece clock,timer clock|\\bclocks?\\b|icon|panel|applet
watch|watch,stopwatch|\\b(watch|stopwatch|wristwatch)(es)?\\b|tower|man|dog
book|closed book,open book,green book,blue book,orange book,books,notebook with decorative cover|\\bbooks?\\b|mac|address|note|power|bookmark|worm|icon|cook
pencil|pencil|\\b(pencil|crayon)s?\\b|
pen|pen,fountain pen|\\b(pen|marker|ball ?point|fountain pen)s?\\b|play|drive|pig|map
scissors|scissors|\\b(scissors?|scissor|snips)\\b|
hammer|hammer|\\b(hammer|mallet)s?\\b|head|sickle|shark|jack
wrench|wrench|\\b(wrench|spanner)(es)?\\b|
screwdriver|screwdriver|\\bscrew ?drivers?\\b|
saw|carpentry saw|\\b(saw|handsaw|hacksaw)s?\\b|see|jig|wolf|tooth
key|key,old key|\\bkeys?\\b|board|pad|icon|function|gpg|hot|chain|musical|map|hole|monkey|button
lock|locked,unlocked|\\b(lock|padlock)s?\\b|screen|clock|caps|icon|num
umbrella|closed umbrella,umbrella,umbrella with rain drops|\\b(umbrella|parasol)s?\\b|
camera|camera,camera with flash|\\bcameras?\\b|video|web|film|movie|security|icon|mount|unmount|theme
phone|mobile phone,telephone|\\b(phone|telephone|cell ?phone|mobile)s?\\b|head|saxo|micro|mega|xylo|icon|theme|home|booth
computer|laptop,desktop computer|\\b(laptop|desktop computer|pc|notebook|macbook|powerbook|imac)s?\\b|icon|theme|pcmcia|card
television|television|\\b(tv|television)s?\\b|icon|theme
radio|radio|\\bradios?\\b|button|icon|theme|active|wave|tower
guitar|guitar|\\bguitars?\\b|pick|icon|theme
violin|violin|\\b(violin|cello|viola|fiddle)s?\\b|
trumpet|trumpet,postal horn|\\b(trumpet|cornet|trombone|french horn|horn|tuba)s?\\b|deer|shoe|rhino|viking|flower
drum|drum|\\b(drum|bongo|djembe|snare)s?\\b|oil|stick|ear|brake|cymbal
piano|musical keyboard|\\b(piano|grand piano|keyboard instrument|synth\\w*)s?\\b|icon
soccer ball|soccer ball|\\b(soccer ?ball|soccer|fu(ss|ß)ball)s?\\b|field|player|field|goal|pitch
basketball|basketball|\\bbasketballs?\\b|court|player|hoop
tennis ball|tennis|\\btennis ?balls?\\b|court|table
cup|hot beverage,teacup without handle|\\b(cup|mug|coffee|espresso|tea ?cup|cappuccino)s?\\b|cupcake|trophy|board|cake|machine|maker|stain|beer|hiccup
teapot|teapot|\\b(tea ?pot|kettle)s?\\b|
bottle|bottle with popping cork,baby bottle,sake|\\b(bottle|wine ?bottle|champagne)s?\\b|opener|cap
glass|wine glass,cocktail glass,tumbler glass,glass of milk|\\b(wine ?glass|glass|goblet|cocktail|martini)(es)?\\b|magnif|stained|hour|sun|hardware|window|looking|icon|theme|button
fork|fork and knife|\\bforks?\\b|lift|tuning|knife
spoon|spoon|\\b(spoon|ladle)s?\\b|bill
knife|kitchen knife,dagger|\\b(knife|knives|dagger)\\b|fork|army|switch
gift|wrapped gift|\\b(gift|present|gift ?box)s?\\b|icon|card
balloon|balloon|\\bballoons?\\b|speech|callout|hot air|word
teddy bear|teddy bear|\\b(teddy|teddy ?bear|stuffed bear)s?\\b|
bell|bell|\\bbells?\\b|pepper|bottom|blue|dumb|door|boy|kettle
backpack|backpack|\\b(back ?pack|rucksack|school ?bag)s?\\b|
handbag|handbag,purse,clutch bag|\\b(hand ?bag|purse)s?\\b|
hat|woman’s hat,top hat,billed cap|\\b(hat|cap|fedora|bowler|sombrero|beret|top ?hat)s?\\b|red ?hat|knee|bottle|mushroom|lock|white ?cap|screw|gnome|apple
shoe|man’s shoe,running shoe,hiking boot,high-heeled shoe,flat shoe|\\b(shoe|boot|sneaker|sandal|high.?heel\\w*|slipper)s?\\b|horse|snow|brake|disk|floppy|loader|camp
shirt|t-shirt|\\b(t.?shirt|shirt|polo ?shirt)s?\\b|pants|sweat
pants|jeans|\\b(pants|trousers|jeans|shorts)\\b|
dress|dress|\\bdress(es)?\\b|address|er\\b
sock|socks|\\b(sock|stocking)s?\\b|et\\b|puppet
glove|gloves,boxing glove|\\b(glove|mitten)s?\\b|
glasses|glasses,sunglasses|\\b(glasses|sunglasses|spectacles|eyeglasses)\\b|wine|drinking|beer
crown|crown|\\bcrowns?\\b|
ring|ring|\\b(ring|wedding ring)s?\\b|ring ?(binder|tone|road|planet)|planet|key|saturn|buoy|life|olympic|spring|boxing|button
house|house,house with garden,derelict house|\\b(house|home|cottage|hut|cabin)s?\\b|green|bird|dog|icon|theme|folder|button|light|power|page|base|apache|ware|haunted|boat|mouse|blacksmith|sheriff
castle|castle,Japanese castle|\\b(castle|chateau|fort|fortress)s?\\b|sand|ruin
tent|tent,camping|\\b(tent|teepee|tipi|wigwam)s?\\b|content
star|star,glowing star|\\bstars?\\b|gramastar|shapes|step|flag|pt\\d|shape|wars|fish|trek|hotel|button|icon|pattern|star of|david|poinsettia|pt\\b
sun|sun,sun with face|\\b(sun|soleil|sonne)s?\\b|flower|glass|set|rise|umbrella|day|burst|micro|screen|hat|bath|cloud
moon|crescent moon,full moon,last quarter moon|\\bmoons?\\b|man|walk|wrasse|cake|light
snowman|snowman,snowman without snow|\\bsnow ?m[ae]n\\b|
pumpkin|jack-o-lantern|\\b(pumpkin|jack.?o.?lantern)s?\\b|pie
ladder|ladder|\\b(ladder|step ?ladder)s?\\b|
bucket|bucket|\\b(bucket|pail)s?\\b|paint|fill|tool
broom|broom|\\b(broom|rake|besom)s?\\b|
toilet|toilet|\\b(toilet)s?\\b|sign|paper|symbol|aiga
`;
