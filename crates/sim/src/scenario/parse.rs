//! Reading scenarios. Any text is read or refused with the number of the line and what was
//! expected there; nothing that is read makes the player panic.

mod acts;
mod conditions;
mod headers;

use super::operator;
use super::step::{Action, Cut, Name, Pick, Proposal, Step};
use super::words::Words;
use super::{Act, Entry, Line, Names, Net, Scenario};
use crate::registers::Operation;
use bytes::Bytes;
use consensus_core::{ClientId, NodeId, RequestId, SessionId};
use core::time::Duration;
use std::fmt;
use std::rc::Rc;

/// Why a text is no scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadScenario {
    /// In which line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub why: String,
}

impl fmt::Display for BadScenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl std::error::Error for BadScenario {}

/// Lines that say what the stage is like come before those that move it.
const HEADERS: &str = "scenario, shows, catches, algo, unlike, nodes, net, rtt, seed, traitors, \
                       voters, chunk, clocks, lease, disks, mutant, setup";
/// Commands that one line proposes at most.
const MOST_COMMANDS: usize = 1_000;
/// Times that a block is repeated at most.
const MOST_TIMES: u32 = 100_000;

const STEPS: &str = "deliver, dup, drop, timeout, propose, sync, crash, restart, campaign, \
                     transfer, change, read, snapshot, save, \
                     simulate, link, isolate, partition, heal, hold, release, run, at, pause, \
                     resume, slow, stabilize, load, unload, explore, recount, say, repeat, \
                     branch, end, expect";

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// With the first line that makes no sense.
    pub fn parse(text: &str) -> Result<Self, BadScenario> {
        let mut reader = Reader::new();
        let mut lines = 0;
        for (place, line) in text.lines().enumerate() {
            lines = place + 1;
            let read = reader.line(lines, line);
            read.map_err(|why| BadScenario { line: lines, why })?;
        }
        reader.finish().map_err(|why| BadScenario { line: lines.max(1), why })
    }
}

struct Reader {
    scenario: Scenario,
    names: Rc<Names>,
    simulated: bool,
    /// Blocks that were begun and not ended, outermost first.
    open: Vec<Block>,
}

/// A block that was begun.
struct Block {
    number: usize,
    kind: Kind,
    lines: Vec<Line>,
}

enum Kind {
    Repeat(u32),
    Branch(String),
}

impl Reader {
    fn new() -> Self {
        let (scenario, names) = (Scenario::default(), Rc::new(Names::numbered()));
        Self { scenario, names, simulated: false, open: Vec::new() }
    }

    fn finish(self) -> Result<Scenario, String> {
        if self.scenario.algo.is_empty() {
            return Err("expected a line 'algo NAME' somewhere".into());
        }
        if self.scenario.nodes == 0 {
            return Err("expected a line 'nodes COUNT' somewhere".into());
        }
        if let Some(block) = self.open.last() {
            return Err(format!("expected 'end' for the block of line {}", block.number));
        }
        Ok(self.scenario)
    }

    fn line(&mut self, number: usize, line: &str) -> Result<(), String> {
        if let Some(comment) = line.trim().strip_prefix('#') {
            if self.scenario.title.is_empty() && self.scenario.algo.is_empty() {
                let comment = comment.strip_prefix(' ').unwrap_or(comment);
                self.scenario.comments.push(comment.trim_end().to_owned());
            }
            return Ok(());
        }
        let mut words = Words::of(line, self.names.clone())?;
        if words.is_empty() {
            return Ok(());
        }
        let what = format!("one of {HEADERS}, {STEPS}");
        let mut verb = words.word(&what)?;
        let mut at = None;
        if verb == "at" {
            at = Some(self.at(&mut words)?);
            if words.is_empty() {
                return self.move_on(number, at, Vec::new());
            }
            verb = words.word(&what)?;
        }
        if self.block(number, &verb, &mut words)? || self.header(&verb, &mut words)? {
            if at.is_some() {
                return Err(format!("expected a step after 'at', found '{verb}'"));
            }
        } else {
            let entries = self.entry(&verb, &mut words)?;
            self.move_on(number, at, entries)?;
        }
        words.end()
    }

    fn at(&self, words: &mut Words) -> Result<Duration, String> {
        self.some_nodes()?;
        if self.scenario.clocks.is_none() {
            self.needs_time("at")?;
        }
        words.time()
    }

    /// Adds what happens, at this moment if one is named. Where messages move by hand the moment is
    /// a part of a single step.
    fn move_on(
        &mut self,
        number: usize,
        at: Option<Duration>,
        mut entries: Vec<Entry>,
    ) -> Result<(), String> {
        if self.simulated && at.is_some() {
            return Err("after 'simulate' only 'expect' can follow".into());
        }
        match (&mut entries[..], &self.scenario.net) {
            ([Entry::Step(step)], Net::Manual) => step.at = at,
            _ => entries.splice(..0, at.map(|at| Entry::Act(Act::At(at)))).for_each(drop),
        }
        self.put(number, entries);
        Ok(())
    }

    fn put(&mut self, number: usize, entries: Vec<Entry>) {
        let lines = match self.open.last_mut() {
            Some(block) => &mut block.lines,
            None => &mut self.scenario.entries,
        };
        lines.extend(entries.into_iter().map(|entry| Line { number, entry }));
    }

    /// Begins or ends a block. False if the line does neither.
    fn block(&mut self, number: usize, verb: &str, words: &mut Words) -> Result<bool, String> {
        let kind = match verb {
            "repeat" => {
                let times = words.number("how often")?;
                if times > MOST_TIMES {
                    return Err(format!("at most {MOST_TIMES} times"));
                }
                Kind::Repeat(times)
            }
            "branch" => Kind::Branch(words.text("a title in quotes")?),
            "end" => {
                let Some(Block { number, kind, lines }) = self.open.pop() else {
                    return Err("there is no block to end".into());
                };
                let entry = match kind {
                    Kind::Repeat(times) => Entry::Repeat(times, lines),
                    Kind::Branch(title) => Entry::Branch(title, lines),
                };
                self.put(number, vec![entry]);
                return Ok(true);
            }
            _ => return Ok(false),
        };
        self.some_nodes()?;
        if self.simulated {
            return Err("after 'simulate' only 'expect' can follow".into());
        }
        let inside_branch = matches!(self.open[..], [Block { kind: Kind::Branch(_), .. }]);
        let fits = self.open.is_empty() || (inside_branch && matches!(kind, Kind::Repeat(_)));
        if !fits {
            return Err("only 'repeat' within a 'branch' is a block in a block".into());
        }
        self.open.push(Block { number, kind, lines: Vec::new() });
        Ok(true)
    }

    fn some_nodes(&self) -> Result<(), String> {
        if self.scenario.nodes > 0 {
            return Ok(());
        }
        Err("a line 'nodes COUNT' comes before lines that name nodes".into())
    }

    fn known(&self, node: NodeId) -> Result<NodeId, String> {
        self.some_nodes()?;
        if node.index() < self.scenario.nodes {
            return Ok(node);
        }
        Err(format!("there is no {node} among {} nodes", self.scenario.nodes))
    }

    fn node(&self, words: &mut Words) -> Result<NodeId, String> {
        let node = words.node()?;
        self.known(node)
    }

    fn entry(&mut self, verb: &str, words: &mut Words) -> Result<Vec<Entry>, String> {
        self.some_nodes()?;
        if verb == "expect" {
            return Ok(vec![Entry::Expect(self.expectation(words)?)]);
        }
        if let Some(act) = self.act(verb, words)? {
            if self.simulated {
                return Err("after 'simulate' only 'expect' can follow".into());
            }
            return Ok(vec![Entry::Act(act)]);
        }
        if verb == "simulate" {
            let mut reductions = Vec::new();
            while !words.is_empty() {
                reductions.push(words.word("KEY=VALUE")?.parse()?);
            }
            if !self.scenario.entries.is_empty() || !self.open.is_empty() {
                return Err("'simulate' stands alone: it comes first, and no steps follow".into());
            }
            self.simulated = true;
            return Ok(vec![Entry::Simulate(reductions)]);
        }
        if self.simulated {
            return Err("after 'simulate' only 'expect' can follow".into());
        }
        let mut steps: Vec<Step> = self.actions(verb, words)?.into_iter().map(Step::from).collect();
        if words.take("!") {
            let [step] = &mut steps[..] else {
                return Err("'! crash' follows a single step".into());
            };
            step.cut = Some(cut(words)?);
        }
        Ok(steps.into_iter().map(Entry::Step).collect())
    }

    /// The line makes sense only where messages move by themselves.
    fn needs_time(&self, verb: &str) -> Result<(), String> {
        if self.simulated {
            return Err("after 'simulate' only 'expect' can follow".into());
        }
        match self.scenario.net {
            Net::Timed(_) => Ok(()),
            Net::Manual => {
                let first = "say 'net delay 1ms', or for 'at' a line 'clocks', first";
                Err(format!("'{verb}' needs time, and there is none: {first}"))
            }
        }
    }

    /// The line makes sense only where messages move by steps.
    fn needs_hands(&self, verb: &str) -> Result<(), String> {
        match self.scenario.net {
            Net::Manual => Ok(()),
            Net::Timed(_) => {
                Err(format!("'{verb}' is done by hand, and here time passes: say 'net manual'"))
            }
        }
    }

    fn actions(&self, verb: &str, words: &mut Words) -> Result<Vec<Action>, String> {
        if ["deliver", "dup", "drop", "timeout", "sync"].contains(&verb) {
            self.needs_hands(verb)?;
        }
        let action = match verb {
            "deliver" | "dup" => {
                let (keep, lie) = (verb == "dup", words.take("contrary"));
                let deliver = |message| Action::Deliver { message, keep, lie };
                return Ok(self.messages(words)?.into_iter().map(deliver).collect());
            }
            "drop" => return Ok(self.messages(words)?.into_iter().map(Action::Drop).collect()),
            "timeout" => {
                let node = self.node(words)?;
                Action::Timeout { node, timer: words.word("the name of a timer")? }
            }
            "propose" => {
                let node = self.node(words)?;
                let mut commands = vec![proposal(words)?];
                while words.take(",") {
                    commands.push(proposal(words)?);
                }
                if commands.len() > MOST_COMMANDS {
                    return Err(format!("at most {MOST_COMMANDS} commands are one batch"));
                }
                Action::Propose { node, commands }
            }
            "sync" => {
                let node = self.node(words)?;
                let but = if words.take("but") { words.number("a number of records")? } else { 0 };
                Action::Sync { node, but }
            }
            "crash" => Action::Crash { node: self.node(words)?, keep: keep(words)? },
            "restart" => Action::Restart(self.node(words)?),
            "campaign" => Action::Campaign(self.node(words)?),
            _ => match operator::action(verb, words, |node| self.known(node))? {
                Some(action) => action,
                None => return Err(format!("expected one of {HEADERS}, {STEPS}; found '{verb}'")),
            },
        };
        Ok(vec![action])
    }

    /// `KIND n0 n1 -> n2 n3`, with `#2` where one message is named.
    fn messages(&self, words: &mut Words) -> Result<Vec<Name>, String> {
        let kind = words.word("a kind of message")?;
        let from = words.nodes()?;
        if !words.take("->") {
            return Err(words.expected("-> or one more node"));
        }
        let to = words.nodes()?;
        let pick = pick(words)?;
        let single = from.len() == 1 && to.len() == 1;
        if pick.is_some() && !single {
            return Err("'#' picks one message on one link".into());
        }
        let mut names = Vec::new();
        for sender in &from {
            for receiver in &to {
                let (from, to) = (self.known(*sender)?, self.known(*receiver)?);
                if from == to && single {
                    return Err(format!("{from} sends nothing to itself"));
                }
                if from != to {
                    let pick = pick.unwrap_or(Pick::Nth(1));
                    names.push(Name { kind: kind.clone(), from, to, pick });
                }
            }
        }
        Ok(names)
    }
}

fn pick(words: &mut Words) -> Result<Option<Pick>, String> {
    if !words.picks() {
        return Ok(None);
    }
    let word = words.word("#1, #2 …")?;
    let digits = word.strip_prefix('#').unwrap_or_default();
    let pick = match digits.strip_prefix('x') {
        Some(print) => u64::from_str_radix(print, 16).ok().map(Pick::Print),
        None => digits.parse().ok().filter(|nth| *nth > 0).map(Pick::Nth),
    };
    pick.map(Some).ok_or_else(|| format!("expected #1, #2 …, found '{word}'"))
}

fn keep(words: &mut Words) -> Result<u32, String> {
    if words.take("keep") { words.number("a number of records") } else { Ok(0) }
}

fn cut(words: &mut Words) -> Result<Cut, String> {
    if !words.take("crash") || !words.take("after") {
        return Err(words.expected("crash after COUNT, as '! crash after 3 keep 1'"));
    }
    Ok(Cut { after: words.number("a number of effects")?, keep: keep(words)? })
}

/// `"text"`, or `c1/s2.0/r3 put 1 5`.
fn proposal(words: &mut Words) -> Result<Proposal, String> {
    let what = "a text in quotes, or a command as c1/s2.0/r3 put 1 5";
    if let Ok(text) = words.text(what) {
        return Ok(Proposal::Text(text));
    }
    let name = words.word(what)?;
    let parts: Vec<&str> = name.split('/').collect();
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<u64>().ok());
    let found = match parts[..] {
        [client, session, request] => {
            let session = session.strip_prefix('s').and_then(|session| session.split_once('.'));
            let session = session.and_then(|(index, offset)| {
                let index = number(Some(index)).filter(|index| *index < 1 << 48)?;
                let offset = number(Some(offset)).filter(|offset| *offset < 1 << 16)?;
                Some((index << 16) | offset)
            });
            let (client, request) = (client.strip_prefix('c'), request.strip_prefix('r'));
            number(client).zip(session).zip(number(request))
        }
        _ => None,
    };
    let Some(((client, session), request)) = found else {
        return Err(format!("expected {what}, found '{name}'"));
    };
    let payload = payload(words)?;
    let (client, session) = (ClientId(client), SessionId(session));
    Ok(Proposal::Request { client, session, request: RequestId(request), payload })
}

fn payload(words: &mut Words) -> Result<Bytes, String> {
    let what = "get, put, cas, append or bytes";
    let verb = words.word(what)?;
    if verb == "bytes" {
        return hex(&words.word("bytes in hexadecimal, or -")?);
    }
    if !["get", "put", "cas", "append"].contains(&&*verb) {
        return Err(format!("expected {what}, found '{verb}'"));
    }
    let key = words.number("a register from 0 to 255")?;
    let operation = match &*verb {
        "get" => Operation::Get(key),
        "put" => Operation::Put(key, words.number("a number")?),
        "append" => Operation::Append(key, words.number("a number")?),
        _ => Operation::Cas(key, words.number("a number")?, words.number("a number")?),
    };
    Ok(operation.encode())
}

fn hex(text: &str) -> Result<Bytes, String> {
    let wrong = || format!("expected bytes in hexadecimal, or -, found '{text}'");
    if text == "-" {
        return Ok(Bytes::new());
    }
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2)).ok_or_else(wrong)?;
    Ok(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use crate::toy::Toy;

    const ALL_WORDS: &str = "\
# A comment at the head.
scenario \"all \\\"words\\\"\"
shows S-001 S-002
catches T01
algo toy|other sizes=0x15 trailing=2 repair=slow
unlike nothing
nodes 4 5
net manual
seed 7
traitors n3
clocks n1 9990
lease 10000
sessions 9
drivers in-place
disks instant n0 n2
mutant T01
setup n0 log [1,1] [1, 2] \"x\" 5.n1 n2
setup n1 vote nothing

campaign n0   # a comment
propose n0 \"x = 1\", c1/s2.5/r3 put 1 5, c1/s0.0/r0 bytes 0100ff, c2/s0.0/r1 bytes -
propose n1 c1/s1.0/r1 get 2, c1/s1.0/r2 cas 1 2 3, c1/s1.0/r3 append 4 9
deliver append n0 -> n1
deliver append n0 -> n1 #2
deliver contrary ack n3 -> n0
dup ack n1 -> n0 #3
drop beat n0 -> n2
timeout n1 election ! crash after 3 keep 1
sync n1
sync n1 but 2
at 150ms sync n1
at 1234567ns
crash n1
crash n1 keep 2
restart n1 ! crash after 0
expect committed n1 == 2
expect epoch n1 >= 2
expect leader n0
expect down n1
expect safe
expect violation O1
link n0 n1 -> n2 down
link n0 -> n2 up
isolate n3
partition n0 n1 | n2 | n3
heal
hold vote n0 n1 -> n2
hold all
release
drop all vote
drop all all n0 -> n1 n2
run
run until leader n0 and not down n1
recount
say \"a # \\\\ word\"
explore all orders
repeat 3
  run
end
branch \"other \\\"wise\\\"\"
  crash n0
  repeat 2
    run
  end
end
expect log n0 == [1,1] [1,2] and vote n1 != nothing and log n1 slot 2 == log n0
expect count all == 4*(n-1) and on-way vote n0 -> n1 < 3
expect never no leader
expect chosen == \"x\" \"y\" and state n1 == x=1
expect trace append n0 -> n1 == \"prev=1\" \"prev=2\"
expect trace vote ==
expect outcomes == \"x\" \"y\"
";

    const TIMED_WORDS: &str = "\
algo toy
nodes A=B C
net delay 1500us jitter 2ms loss 1% dup 0.5%
rtt A | C 8ms
seed 3
clocks
disks instant C

load 2 clients every 5ms commands 10
load 1 clients
at 1s
at 2s crash B
at 2500ms expect gap < 5s and slowest <= 20ms and median > 1ms
restart A
pause C
resume C
slow C 20ms
run until answered >= 20 and not down A within 10s
run 3s
stabilize
unload
expect linearizable and unknown == 0 and elections >= n/2
";

    #[test]
    fn what_is_written_is_read_again() {
        let scenario = Scenario::parse(ALL_WORDS).expect("all words are known");
        assert_eq!(scenario.entries.len(), 46);
        assert_eq!(scenario.entries[0].number, 20, "lines are numbered as in the text");
        let run = "algo toy\nnodes 3\nsimulate clients=1 without=crash links=plain\nexpect safe\n";
        for text in [ALL_WORDS, TIMED_WORDS, run] {
            let scenario = Scenario::parse(text).expect("all words are known");
            let text = scenario.to_string();
            let again = Scenario::parse(&text).unwrap_or_else(|bad| panic!("{bad} in\n{text}"));
            assert_eq!(again, scenario, "{text}");
            assert_eq!(again.to_string(), text);
        }
        assert!(Scenario::parse(TIMED_WORDS).expect("good").to_string().contains("crash A\n"));
    }

    #[test]
    fn a_line_with_many_nodes_is_a_step_for_each_link() {
        let text = "algo toy\nnodes 3\ndeliver ack n1 n2 -> n0\ndeliver beat n0 n1 -> n0 n1 n2";
        let scenario = Scenario::parse(text).expect("lists of nodes");
        let steps: Vec<String> = scenario.steps().map(ToString::to_string).collect();
        let links = ["ack n1 -> n0", "ack n2 -> n0", "beat n0 -> n1", "beat n0 -> n2"];
        assert_eq!(steps[..4], links.map(|link| format!("deliver {link}")));
        assert_eq!(steps.len(), 6, "nobody writes to himself");
    }

    #[test]
    fn bad_lines_are_refused_with_their_number_and_what_was_expected() {
        for (line, words) in [
            ("frobnicate n0", "found 'frobnicate'"),
            ("deliver ack n0 => n1", "expected -> or one more node, found '=>'"),
            ("deliver ack n0 -> n0", "nothing to itself"),
            ("deliver ack n0 -> n9", "no n9"),
            ("deliver ack n0 -> n300", "a node such as n0"),
            ("deliver ack n0 -> n1 #0", "#1, #2"),
            ("deliver ack n0 n1 -> n2 #2", "one link"),
            ("deliver ack n0 n1 n0 -> n2", "n0 is named twice"),
            ("crash", "found the end of the line"),
            ("crash n0 keep many", "a number of records"),
            ("sync n1 extra", "expected the end of the line, found 'extra'"),
            ("propose n0", "a text in quotes"),
            ("propose n0 \"a", "has no end"),
            ("propose n0 c1/s1/r1 get 1", "c1/s2.0/r3"),
            ("propose n0 c1/s1.0/r1 get 256", "0 to 255"),
            ("propose n0 c1/s1.0/r1 bytes 0", "hexadecimal"),
            ("timeout n1", "the name of a timer"),
            ("campaign n0 ! crash", "crash after COUNT"),
            ("deliver ack n0 -> n1 n2 ! crash after 1", "a single step"),
            ("expect committed n1 = 2", "=="),
            ("expect happiness", "found 'happiness'"),
            ("rtt n0 | n1 8ms", "after 'net delay"),
            ("net slow", "manual, or delay 1ms, found 'slow'"),
            ("net delay 1h", "150ms"),
            ("net delay 1ms loss 101%", "1% or 0.5%"),
            ("at 5s run", "'at' needs time"),
            ("clocks n0", "how fast its clock runs"),
            ("clocks n0 5", "1000 to 100000"),
            ("lease 1000000", "less than a million"),
            ("clocks\nat 5s seed 3", "expected a step after 'at'"),
            ("run 5s", "needs time"),
            ("run until leader n1 within 5s", "needs time"),
            ("load 2 clients", "'load' needs time"),
            ("partition n0 n1", "another group"),
            ("partition n0 | n0", "n0 is in two groups"),
            ("link n0 -> n1", "up or down"),
            ("explore", "all orders"),
            ("end", "no block to end"),
            ("repeat 5", "expected 'end' for the block of line 3"),
            ("repeat 5000000", "at most 100000 times"),
            ("repeat 2\nrepeat 2", "a block in a block"),
            ("setup n1 log [1,x]", "as [2,3]"),
            ("expect count vote == 2(n)", "found '2(n)'"),
            ("expect log n1 = 2", "=="),
            ("expect leader n1 and", "found the end of the line"),
            ("algo a|", "with | between"),
            ("algo toy fast", "OPTION=VALUE"),
            ("nodes 4", "said before"),
            ("simulate rain=1", "there is no 'rain'"),
            ("campaign n0\nseed 5", "before all steps"),
            ("campaign n0\nsimulate", "stands alone"),
        ] {
            let bad = Scenario::parse(&format!("algo toy\nnodes 3\n{line}")).unwrap_err();
            assert_eq!(bad.line, 3 + line.matches('\n').count(), "{line}: {bad}");
            assert!(bad.to_string().contains(words), "{line}: {bad}");
        }
        for (text, words) in [
            ("", "algo NAME"),
            ("algo toy", "nodes COUNT"),
            ("nodes 0", "1 to 128"),
            ("nodes 129", "1 to 128"),
            ("nodes 3 3", "comes first"),
            ("nodes a b", "capital letter"),
            ("nodes A A", "two nodes are called A"),
            ("algo a\nnodes 2\nnet delay 1ms\nsync n1", "done by hand"),
            ("algo a\nnodes 2\nnet delay 1ms\nrun until leader n1", "done by hand"),
            ("campaign n0", "comes before"),
            ("disks instant", "comes before"),
        ] {
            let bad = Scenario::parse(text).unwrap_err();
            assert!(bad.to_string().contains(words), "{text}: {bad}");
        }
    }

    /// Any text is read or refused; what is read is written and read again as the same, and can
    /// be played.
    #[test]
    fn noise_is_no_reason_to_panic() {
        let mut rng = Rng::new(1);
        let both = format!("{ALL_WORDS} {TIMED_WORDS}");
        let words: Vec<&str> = both.split([' ', '\n']).collect();
        let letters: Vec<char> = "#\"\\!,-> \t\n=n0r1s.c/é\u{0}9".chars().collect();
        let mut read = 0;
        for _ in 0..4_000 {
            let mut text = String::from("algo toy\nnodes 3\n");
            if rng.chance(2_000) {
                text.clear();
            }
            for _ in 0..rng.below(8) {
                let word = words[rng.place(words.len())];
                text.push_str(if rng.chance(9_000) { word } else { "" });
                if rng.chance(1_000) {
                    text.push(letters[rng.place(letters.len())]);
                }
                text.push(if rng.chance(3_000) { '\n' } else { ' ' });
            }
            let Ok(scenario) = Scenario::parse(&text) else { continue };
            read += 1;
            let written = scenario.to_string();
            assert_eq!(Scenario::parse(&written), Ok(scenario.clone()), "{text}\n{written}");
            if !scenario.entries.iter().any(|line| matches!(line.entry, Entry::Simulate(_))) {
                for lenient in [false, true] {
                    // A scene that cannot be is refused; all else is played.
                    let _ = scenario.play::<Toy>(lenient);
                }
            }
        }
        assert!(read > 200, "{read} texts were read; the test must have lost its way");
    }
}
