"""What the scripted server's replies are made of: words and frames of our own, without a meaning beyond variety."""

from __future__ import annotations

__all__ = [
    "ANSWERS",
    "AUDIENCES",
    "CONSTRAINTS",
    "FRAMES",
    "JUNK",
    "LABELS",
    "NAME_ENDS",
    "NAME_STARTS",
    "OBJECTS",
    "QUICK_ADJECTIVES",
    "QUICK_FORMS",
    "QUICK_NOUNS",
    "QUICK_PEOPLE",
    "QUICK_PLACES",
    "QUICK_STEMS",
    "QUICK_VERBS",
    "REMARKS",
    "REPEATED",
    "TOPICS",
    "VERBS",
]


def _listed(text: str) -> tuple[str, ...]:
    return tuple(" ".join(item.split()) for item in text.split(";"))


VERBS = _listed("""
    write; draft; compose; prepare; come up with; produce; give me; suggest; think of; devise; invent; put together
""")
OBJECTS = _listed("""
    a short letter; a packing list; a bedtime story; five questions; a polite complaint; a speech; a weekly schedule;
    a step-by-step guide; a recipe; a dialogue; three riddles; a newsletter item; a product description; a haiku;
    a checklist; a quiz; a careful comparison; an executive summary; a slogan; a job advert; a diary entry;
    a thank-you note; a glossary; an apology; a fable; an invitation; a mock interview; a two-column table;
    arguments for both sides; a limerick; a rough budget; a warning notice; a toast; a lesson outline; house rules;
    a news report; a sales pitch; a reader survey; a monologue; a timeline; an extended metaphor;
    troubleshooting advice; a role-play; a counterargument; a dictionary definition; a reading list; two anecdotes;
    a press statement; a tongue-twister; six tips; a eulogy; ten headlines; a horoscope; a petition; a lullaby;
    a cautionary tale
""")
TOPICS = _listed("""
    keeping bees on a roof; the history of salt; repairing a leaking tap; learning Portuguese at sixty;
    a late night train; sharing one small kitchen; the smell of rain; growing tomatoes indoors; lost umbrellas;
    the invention of zero; a village bakery; office birthday cakes; sleeping badly before exams; second-hand bicycles;
    why cats purr; moving abroad alone; solar panels; a cancelled wedding; the price of coffee;
    teaching chess to beginners; an abandoned lighthouse; bread without yeast; tidal power; noisy neighbours;
    the rules of curling; volcanoes under ice; asking for a pay rise; old family recipes; jet lag; a stubborn goat;
    forgetting people's names; vaccines and how they work; writing unit tests; ancient Roman roads; a broken promise;
    city foxes; choosing a first guitar; tipping in restaurants; the water cycle; knitting in public; remote meetings;
    a haunted caravan park; cooking for twelve guests; earthquakes and tall buildings; borrowing money from friends;
    penguins that mate for life; compound interest; the night sky in August; a marathon in the desert;
    throwing away less food; left-handed scissors; a lost parcel; black holes; haircuts at home; silent letters;
    a wooden boat; allergies in spring; public toilets; the perfect omelette; rent and deposits; glaciers on the move;
    card tricks; a strike at the harbour; opera for sceptics; mushroom hunting; paying with shells; squeaky floors;
    origami cranes; drought in the valley; first aid for burns; trams without drivers; a forged signature;
    school uniforms; comets; proverbs about luck; dancing the tango; double-entry bookkeeping; stage fright
""")
AUDIENCES = _listed("""
    a curious ten-year-old; night nurses; my landlord; first-time voters; a sceptical chemist; retired sailors;
    a shy intern; the parents' association; hikers without experience; a busy head chef; somebody new in town;
    my football team; exchange students; a grumpy librarian; small shop owners; people afraid of flying;
    a visiting mayor; junior programmers; an amateur choir; my grandmother; tired commuters; a museum guard;
    new bus drivers; young farmers; an impatient customer; volunteers at a shelter; a rival company; twins who disagree;
    evening-class learners; a robot with feelings; the local newspaper; dog owners; a jury; my future self;
    an astronaut; lorry drivers; the tax office; beekeepers; a shop steward; three sisters; pilots in training;
    a sleepy guard
""")
CONSTRAINTS = _listed("""
    in no more than eighty words; using exactly four sentences; without the letter z; in the style of a weather report;
    with a surprising ending; and mention two numbers; as people did around 1900; and keep the tone warm;
    in plain everyday English; and finish with a question; and make it pleasant to read aloud;
    with one example from daily life; and avoid any jargon; using at least three colours;
    and explain each choice briefly; in alternating short and long lines; while staying strictly neutral;
    and put the most important point first; with a pinch of irony; and name one common mistake;
    starting every line with a verb; and add a title in capitals; leaving out all adjectives; and say what to do next;
    with advantages before drawbacks; in rhyming couplets; and compare it with cooking; as a message to be sent tonight;
    and quote an invented expert; in the present tense only; and estimate the cost in euros;
    from an animal's point of view; and keep it suitable for work; with a deadline in every item;
    and admit what is still unknown; sorted from easiest to hardest; and end on a hopeful note;
    written backwards in time; and leave room for replies; as a phone call overheard; and stay below thirty euros;
    for reading under a lamp; and credit two sources; like a recipe; with everything in pairs;
    and spell out every abbreviation; in the voice of a tired detective; and include a password hint;
    as tersely as possible; and praise somebody at the end; with the facts in brackets
""")
FRAMES = (
    "{verb} {object} about {topic} for {audience} {constraint}.",
    "for {audience}, {verb} {object} on {topic} {constraint}.",
    "{topic}: {object} {constraint}, aimed at {audience}.",
    "what might {audience} ask about {topic}? Answer {constraint}.",
    "explain {topic} to {audience} {constraint}, perhaps as {object}.",
    "using the notes on {topic}, {verb} {object} {constraint}.",
    "did {audience} sound {label} or {other_label} about {topic}, judging by {object}?",
    "{audience} and {topic}: {verb} {object} {constraint}.",
)
REPEATED = (
    "Rewrite the sentence below so that a child can understand it",
    "Give three reasons why regular sleep matters for students",
    "Translate the following greeting into French and Spanish",
    "List five things to check before a long car journey",
    "Explain the difference between weather and climate to a beginner",
    "Find the odd one out in this list of words and say why",
)
JUNK = (
    "I'm sorry, but I can't help with {topic}.",
    "As a language model, I cannot write about {topic}.",
    "Do it.",
    "Draw a picture that shows {topic} on a sunny day.",
    "Make a video with music about {topic} for the school website.",
    "Write a program that prints ten facts about {topic}.",
    "- ... and the same again for {topic}, only shorter",
    "Go to the library and take home an image of {topic}.",
)
LABELS = tuple(
    tuple(pair.split("/"))
    for pair in _listed("""
    positive/negative; formal/informal; urgent/routine; factual/personal; polite/rude; sure/doubtful; friendly/hostile;
    modest/boastful; calm/nervous; curious/bored; joking/serious; hopeful/gloomy
""")
)
REMARKS = (
    "Last spring we spent a whole week on {topic}, and nobody regretted it.",
    "My neighbour can't stop talking about {topic}; I nod and water the plants.",
    "The committee discussed {topic} for two hours and decided nothing.",
    "Nobody warned me about {topic} before I signed the contract.",
    "She wrote her first essay on {topic} and won a small prize.",
    "If I hear another word about {topic}, I'll move to the mountains.",
    "The evening course on {topic} starts on Tuesday at seven.",
)
ANSWERS = (
    "In short, {topic} rewards patience: start small, ask somebody experienced and keep notes.",
    "There are two sides to {topic}, and most people see only the cheaper one.",
    "Begin with what you know about {topic}, then check it against a second source.",
    "Three words are enough for {topic}: slowly, gladly, together.",
    "The writer is amused by {topic} and doesn't mean the complaint seriously.",
    "First measure, then compare; with {topic}, guesses are usually too low.",
)

# The words of quick replies. Stems and nouns are put together, as are the parts of names, so that most words are rare.
QUICK_VERBS = _listed("""
    write; draft; compose; prepare; devise; sketch; propose; invent; outline; deliver; present; word; improvise;
    suggest; plan; offer
""")
QUICK_ADJECTIVES = _listed("""
    bashful; battered; blunt; bold; brave; breezy; bright; brisk; brittle; broken; bulky; busy; calm; careful;
    cautious; chatty; cheap; cheerful; chilly; clever; clumsy; coarse; cosy; crooked; crowded; cruel; curious;
    daring; dazed; deaf; deep; delicate; dented; distant; dizzy; dreamy; drowsy; dusty; fading; faithful; familiar;
    famous; fancy; fierce; flat; foggy; foolish; forgotten; formal; fragile; frank; fresh; frosty; frozen; frugal;
    furious; fussy; generous; gentle; giddy; gloomy; golden; graceful; grand; greedy; grumpy; hasty; haunted;
    hearty; heavy; hidden; hollow; humble; humid; hungry; hurried; jolly; lame; lanky; lazy; lively; lofty; lonely;
    loyal; lucky; marble; mellow; merry; mild; modest; muddy; nervous; nimble; noisy; painted; patient; plain;
    playful; polite; proud; puzzled; quaint; quiet; ragged; restless; rural; rusty; secret; shabby; shiny; shy;
    silent; sleepy; slender; sober; solemn; spotless; stubborn; sturdy; sudden; tender; tidy; timid; tired; vague;
    velvet; weary; wooden
""")
QUICK_NOUNS = _listed("""
    acorns; almanacs; anchors; antlers; anvils; apricots; aprons; arcades; armchairs; arrows; axles; badges;
    bagpipes; balconies; balloons; bandages; barrels; baskets; bathtubs; batteries; bayonets; beacons; beads;
    beehives; bells; benches; berries; bicycles; biscuits; blankets; blossoms; boilers; bonfires; bookshelves;
    boots; bottles; bracelets; branches; bricks; bridges; brooms; brushes; bubbles; buckets; buckles; bunkers;
    buoys; buttons; cabbages; cables; cactuses; cages; calendars; camels; candles; canoes; canyons; caravans;
    carpets; carriages; carrots; castles; catapults; cauldrons; caves; cellars; chains; chairs; chalkboards;
    cherries; chestnuts; chimneys; chisels; cisterns; clocks; clouds; clovers; coats; coconuts; coins; combs;
    compasses; coral; corks; cottages; cradles; crayons; crickets; crowns; crutches; crystals; cupboards; curtains;
    cushions; daggers; daisies; dams; deckchairs; desks; dials; diamonds; dice; dolphins; dominoes; donkeys;
    doorbells; dragonflies; drawers; drums; dumplings; dunes; eagles; earrings; elevators; emeralds; engines;
    envelopes; escalators; falcons; feathers; fences; ferns; ferries; fiddles; fireflies; fireplaces; fireworks;
    flagpoles; flutes; forks; fountains; foxes; furnaces; galleries; garages; gardens; garlic; gates; geese;
    geysers; glaciers; gloves; goats; goggles; gongs; grapes; greenhouses; guitars; hailstones; hammers; hammocks;
    harbours; harps; hats; hedgehogs; hedges; helmets; herons; hinges; honeycombs; hooks; horseshoes; hourglasses;
    icebergs; icicles; inkwells; islands; jackets; jars; jellyfish; jewels; jugs; kettles; keyholes; keys; kites;
    kiwis; knots; labels; lace; ladders; ladles; lamps; lanterns; lemons; lenses; letters; levers; lighthouses;
    lilacs; lizards; lockets; locks; looms; magnets; magpies; mandolins; mangoes; marbles; masks; matches;
    mattresses; meadows; medals; melons; mills; mirrors; mittens; moats; monuments; mosquitoes; moths; mugs;
    mushrooms; needles; nests; nets; nettles; noodles; notebooks; nutmeg; oaks; oars; olives; onions; orchards;
    orchids; ostriches; otters; ovens; owls; oysters; paddles; pancakes; parachutes; parrots; peaches; pearls;
    pebbles; pelicans; pillows; pincers; pipes; pitchforks; plums; pumpkins; puppets; quilts; rafts; ribbons;
    robins; saddles; sandals; scarves; spoons; violins
""")
QUICK_FORMS = _listed("""
    ballad; bedtime tale; birthday toast; blog entry; booklet; brochure; bulletin; campfire story; catalogue entry;
    chant; checklist; chronicle; circular; comic sketch; complaint; confession; congratulation; dialogue; diary
    page; debate speech; definition; fable; farewell; forecast; game proposal; ghost story; greeting; guided tour;
    handbook page; headline; hymn; party invitation; joke; lecture; legend; letter; limerick; love note; manifesto;
    memo; menu; monologue; myth; notice; parable; petition; playlet; poem; postcard; prayer; press release; proverb;
    quiz; recipe; reference letter; report; review; riddle; rulebook page; sermon; shopping list; short novel;
    slogan; timetable
""")
QUICK_PLACES = _listed("""
    bakery; ballroom; bank; barn; bathhouse; bay; beach; brewery; bunkhouse; cathedral; cinema; circus; clinic;
    cloister; coal mine; court; desert; ditch; dockyard; factory; farmhouse; ferry; field hospital; forest;
    fortress; hallway; harbour; hotel; jungle; kitchen; laboratory; lagoon; laundry; library; market; monastery;
    mountain hut; museum; nursery; palace; park; pawnshop; planetarium; playground; post office; prison; pub;
    quarry; railway station; restaurant; river delta; rooftop; sawmill; school; shipyard; stable; stadium; studio;
    submarine; suburb; swamp; tavern; temple; theatre
""")
QUICK_PEOPLE = _listed("""
    acrobats; actors; archers; astronomers; bakers; bankers; barbers; beekeepers; boatmen; bookbinders; butchers;
    carpenters; chemists; clerks; clowns; cobblers; collectors; cooks; dancers; dentists; detectives; divers;
    doctors; drummers; farmers; firefighters; fishermen; florists; gamblers; gardeners; geologists; glaziers;
    goldsmiths; guards; historians; hunters; inventors; jewellers; joggers; judges; jugglers; librarians; magicians;
    mechanics; miners; nurses; painters; pilots; plumbers; poets; porters; potters; sailors; scientists; sculptors;
    shepherds; singers; smugglers; surgeons; tailors; teachers; translators; waiters; weavers
""")
QUICK_STEMS = _listed("""
    amber; apple; ash; bamboo; bark; bell; birch; bone; brass; brick; bronze; butter; candle; cedar; chalk; cherry;
    clay; cloud; coal; copper; corn; cotton; crystal; dream; ember; feather; fern; fire; flint; fog; forest; frost;
    glass; gold; grain; granite; honey; ice; iron; ivy; jade; lake; lamp; lark; lava; leaf; lemon; lily; maple;
    marsh; mint; mirror; moon; moss; mud; night; oak; ocean; opal; paper; pearl; river; salt; silver
""")
NAME_STARTS = tuple(
    onset + vowel
    for onset in _listed(
        "B; Bl; Br; C; Ch; D; Dr; F; Fl; G; Gl; Gr; H; J; K; Kr; L; M; N; P; Pr; R; S; Sh; St; T; Th; Tr; V; W; Y; Z"
    )
    for vowel in _listed("a; e; i; o; u; ai; ea; ou")
)
NAME_ENDS = tuple(
    middle + end
    for middle in _listed("b; d; f; g; k; l; m; n; p; r; s; t; v; z; nd; rt")
    for end in _listed("a; o; in; el; us; or; ia; an; ey; is; on; er; ik; um; as; et")
)
