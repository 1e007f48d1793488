//! A page that lies is found, and one that does not is none.

use super::{
	shape::{of_ended, of_staying, Known, Lie},
	Command, Kind, Line, Page, Step,
};

const PAGE: &str = r#"# A page

Write `riddle/agent.toml`, which `phala` reads
and nobody else:

```toml
name = "riddle"
```

```sh
export A=1                  # as one likes
# for people

phala build \
  riddle
```

1. In a list:
   <!-- test: until -->
   ```
   $ phala status
   worker  1

     indented
   $ phala verify changed.json   # exit code 1
   REFUSED
   ```

<!-- test: not run: it was run already -->
```sh
make dev
```
<!-- test: output of make dev -->
```
✓ everything works
```
<!-- test: stays -->
```
$ phala dev riddle
```
"#;

fn line(number: usize, text: &str) -> Line {
	Line { number, text: text.into() }
}

fn shown(text: &str) -> Vec<Line> {
	text.lines().enumerate().map(|(index, text)| line(index + 1, text)).collect()
}

#[test]
fn a_page_is_what_its_reader_does_line_by_line() {
	let page = Page::parse("docs/page.md", PAGE).unwrap();
	let command = |number, text, prints: Option<Vec<Line>>| Command {
		at: line(number, text),
		exit_code: 0,
		prints,
		kind: Kind::Ends,
	};
	let until = |command: Command| Step::Run(Command { kind: Kind::Until, ..command });
	let refused = "phala verify changed.json   # exit code 1";
	let refused = command(25, refused, Some(vec![line(26, "REFUSED")]));
	let status = vec![line(22, "worker  1"), line(23, ""), line(24, "  indented")];
	let stays = command(39, "phala dev riddle", Some(Vec::new()));
	let expected = [
		Step::Write { at: line(6, "riddle/agent.toml"), text: "name = \"riddle\"\n".into() },
		Step::Run(command(11, "export A=1                  # as one likes", None)),
		Step::Run(command(14, "phala build \\\n  riddle", None)),
		until(command(21, "phala status", Some(status))),
		until(Command { exit_code: 1, ..refused }),
		Step::Printed { command: "make dev".into(), lines: vec![line(35, "✓ everything works")] },
		Step::Run(Command { kind: Kind::Stays, ..stays }),
	];
	assert_eq!(page.steps, expected);
	assert_eq!(page.not_run.len(), 1);
	assert_eq!((page.not_run[0].number, &*page.not_run[0].why), (30, "it was run already"));
}

#[test]
fn a_block_that_is_neither_command_nor_file_is_refused_with_its_line() {
	for (block, why) in [
		("```\nINFO a log\n```", "docs/page.md:3: what is this block?"),
		("```toml\na = 1\n```", "names none that ends in .toml"),
		("```ts\n1\n```", "names none that ends in .ts"),
		("```sh\n# nothing\n```", "there is no command in it"),
		("<!-- test: stays -->\n```\n$ a\n$ b\n```", "this has 2"),
		("<!-- test: perhaps -->\n```\n$ a\n```", "\"perhaps\" says nothing"),
		("<!-- test: until -->\n\n```\n$ a\n```", "the block follows the comment at once"),
		("```\n$ a", "the last block does not end"),
	] {
		let error = Page::parse("docs/page.md", &format!("Text.\n\n{block}")).unwrap_err();
		assert!(format!("{error:#}").contains(why), "{block}: {error:#}");
	}
	let escaping = "Write `../x.toml`:\n\n```toml\na = 1\n```";
	let error = Page::parse("docs/page.md", escaping).unwrap_err();
	assert!(format!("{error:#}").contains("not in the reader's folder"), "{error:#}");
}

const SHOWN: &str = "\
✓ building riddle (6.6 s)
agent       0x754b674c…
worker      1  http://127.0.0.1:9964
  …
call it     phala call riddle /
{\"tried\":2}";

const STDERR: &str = "… building riddle\n✓ building riddle (12 s)\n";

fn stdout() -> String {
	let id = format!("0x1234{}", "5678".repeat(15));
	format!("agent       {id}\nworker      7  http://127.0.0.1:40843\nanother\ncall it     phala call riddle /\n{{\"tried\":2}}\n")
}

#[test]
fn what_differs_from_run_to_run_need_not_be_the_same() {
	let mut known = Known::default();
	assert_eq!(of_ended(&shown(SHOWN), &stdout(), STDERR, &mut known).unwrap(), Ok(()));
	let meant = known.meant("phala logs 0x754b674c… -f").unwrap();
	assert_eq!(meant, format!("phala logs 0x1234{} -f", "5678".repeat(15)));
	let error = known.meant("phala logs 0x11…").unwrap_err();
	assert!(error.to_string().contains("0x11…"), "{error}");
}

/// Changes one thing of what was printed.
struct Liar(&'static str, &'static str);

#[test]
fn a_changed_word_a_missing_line_and_one_too_many_are_found() {
	for (Liar(said, changed), found) in [
		(Liar("call riddle", "call rattle"), "call it     phala call riddle /"),
		(Liar("agent  ", "agents "), "agent       0x754b674c…"),
		(Liar("\"tried\":2", "\"tried\":3"), "{\"tried\":2}"),
		(Liar("http:", "https:"), "worker      1  http://127.0.0.1:9964"),
		(Liar("call it     phala call riddle /\n", ""), "call it     phala call riddle /"),
	] {
		let printed = stdout().replace(said, changed);
		let lie = of_ended(&shown(SHOWN), &printed, STDERR, &mut Known::default()).unwrap();
		let Err(Lie::NotPrinted(line)) = lie else { panic!("{changed}: {lie:?}") };
		assert_eq!(line.text, found, "{changed}");
	}
	let nothing = of_ended(&shown(SHOWN), &stdout(), "", &mut Known::default()).unwrap();
	let building = line(1, "✓ building riddle (6.6 s)");
	assert_eq!(nothing, Err(Lie::NotPrinted(building)));
	let more = stdout() + "and more\n";
	let more = of_ended(&shown(SHOWN), &more, STDERR, &mut Known::default()).unwrap();
	assert_eq!(more, Err(Lie::NotShown("and more".into())));
	// Nothing shown of a command is that it has no result.
	let quiet = |stdout, stderr| of_ended(&[], stdout, stderr, &mut Known::default()).unwrap();
	assert_eq!(quiet("", "… waiting"), Ok(()));
	assert_eq!(quiet("a result", ""), Err(Lie::NotShown("a result".into())));
}

#[test]
fn an_abbreviation_is_the_same_wherever_it_stands() {
	let page = shown("agent 0xaa…\nowner 46L2…\nagent 0xaa…");
	let check = |last: &str| {
		let printed = format!("agent 0x1111\nowner 5Grw\nagent {last}\n");
		of_ended(&page, &printed, "", &mut Known::default()).unwrap()
	};
	assert_eq!(check("0x1111"), Ok(()));
	assert_eq!(check("0x11…"), Ok(()));
	assert_eq!(check("0x2222"), Err(Lie::NotPrinted(line(3, "agent 0xaa…"))));
}

#[test]
fn digits_in_a_name_count_and_numbers_do_not() {
	let fits = |page: &str, printed: &str| {
		of_staying(&shown(page), printed, &mut Known::default()).unwrap().is_ok()
	};
	assert!(fits("worker-1 serves, 5 blocks", "worker-1 serves, 1,205 blocks"));
	assert!(!fits("worker-1 serves, 5 blocks", "worker-2 serves, 5 blocks"));
	assert!(!fits("worker-1 serves, 5 blocks", "worker-1 serves, no blocks"));
	assert!(fits("boot 1, at 2026-11-21 10:00", "boot 20, at 2027-01-02 11:11"));
	assert!(fits("3f9a11c0  info   try 1", "b2704de8 info try 12"));
	assert!(!fits("3f9a11c0  info   try 1", "b2704de8 info tried 12"));
	// Of what stays, in any order.
	assert!(fits("b\na", "a\nb"));
}
