//! What docs/writing-an-agent.md says that an agent is given is what the types of `@phala/agent` say:
//! each signature, each name, and no other.

use std::{collections::BTreeSet, fs};

const PAGE: &str = "docs/writing-an-agent.md";

/// Interfaces of `index.d.ts`, and what the page calls a value of them.
const VALUES: [(&str, &str); 9] = [
	("Agent", ""),
	("Env", "env."),
	("Context", "ctx."),
	("State", "env.state."),
	("ScanOptions", "options."),
	("StateEntry", "entry."),
	("Secrets", "env.secrets."),
	("Agents", "env.agents."),
	("HostError", "error."),
];

/// Types of `globals.d.ts` whose members stand in another one's row of the page.
const ROWS: [(&str, &str); 4] = [
	("ConsoleLike", "`console`"),
	("BodyMixin", "a body"),
	("ReadableStreamDefaultReader", "`ReadableStream`"),
	("ReadableStreamDefaultController", "`ReadableStream`"),
];

fn read(path: &str) -> String {
	let path = crate::own_folder().join("../..").join(path);
	fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// An interface, class or object of a `.d.ts`, or one that has no members.
#[derive(Debug)]
struct Declared {
	name: String,
	/// Each on one line, without `readonly` and `;`.
	members: Vec<String>,
}

/// What a `.d.ts` declares at its top level. It is formatted as ours are: a member begins behind two
/// spaces, a block ends at a line's beginning.
fn declared(types: &str) -> Vec<Declared> {
	let mut all = Vec::<Declared>::new();
	let mut is_open = false;
	let mut is_comment = false;
	for line in types.lines() {
		let text = line.trim();
		is_comment |= text.starts_with("/*");
		if is_comment || text.is_empty() || text.starts_with("//") {
			is_comment &= !text.ends_with("*/");
			continue;
		}
		if !line.starts_with(' ') {
			let text = text.trim_start_matches("export ").trim_start_matches("declare ");
			let kinds = ["interface ", "class ", "function ", "var "];
			let found = kinds.iter().find_map(|kind| text.strip_prefix(kind));
			if let Some(text) = found {
				let end = text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len());
				all.push(Declared { name: text[..end].into(), members: Vec::new() });
				is_open = text.ends_with('{');
				// An object on one line.
				if let Some((_, inner)) = text.split_once(": {").filter(|_| !is_open) {
					let inner = inner.trim_end_matches(|c| " };".contains(c));
					let members = inner.split(';').map(|member| member.trim().to_owned());
					all.last_mut().unwrap().members.extend(members);
				}
			} else {
				is_open = false;
			}
			continue;
		}
		let Some(last) = all.last_mut().filter(|_| is_open) else { continue };
		let is_member = line.starts_with("  ") && !line.starts_with("   ");
		match last.members.last_mut() {
			Some(member) if !is_member || text.starts_with('}') => {
				member.push(' ');
				member.push_str(text);
			}
			_ => last.members.push(text.to_owned()),
		}
	}
	for declared in &mut all {
		for member in &mut declared.members {
			*member = member.trim_end_matches(';').replace("readonly ", "");
		}
		declared.members.retain(|member| {
			!member.starts_with("constructor(") && !member.starts_with("[Symbol.")
		});
	}
	all
}

/// A member's name.
fn name(member: &str) -> &str {
	let member = member.trim_start_matches("static ");
	&member[..member.find(|c: char| !c.is_alphanumeric()).unwrap_or(member.len())]
}

/// All rows of the page's tables, cell by cell; `\|` is none of their bars.
fn rows(page: &str) -> Vec<Vec<String>> {
	let rows = page.lines().filter(|line| line.starts_with("| "));
	rows.map(|row| {
		let cells = row.trim_matches('|').replace("\\|", "\0");
		cells.split('|').map(|cell| cell.trim().replace('\0', "|")).collect()
	})
	.collect()
}

/// What stands in backticks.
fn code(text: &str) -> impl Iterator<Item = &str> {
	text.split('`').skip(1).step_by(2)
}

/// What the types have and the page has not, or the other way round.
fn signatures_that_differ(types: &str, page: &str) -> Vec<String> {
	let mut expected = BTreeSet::new();
	for Declared { name: interface, members } in declared(types) {
		let Some((_, value)) = VALUES.iter().find(|(name, _)| *name == interface) else {
			assert!(members.is_empty(), "{interface} is none of the known");
			continue;
		};
		for member in members {
			match member.split_once(": |").filter(|_| interface == "HostError") {
				Some((name, codes)) => {
					expected.insert(format!("{value}{name}"));
					expected.extend(codes.split('|').map(|code| code.trim().to_owned()));
				}
				None => {
					expected.insert(format!("{value}{member}"));
				}
			}
		}
	}
	let function = types.lines().find_map(|line| line.strip_prefix("export declare function "));
	expected.extend(function.map(|function| function.trim_end_matches(';').to_owned()));
	let begins = |cell: &str| {
		let values = VALUES.iter().filter(|(_, value)| !value.is_empty());
		values.clone().any(|(_, value)| cell.starts_with(value))
			|| ["fetch(", "isHostError(", "\""].iter().any(|begin| cell.starts_with(begin))
	};
	let shown = rows(page).into_iter().filter_map(|row| {
		let cell = code(row.first()?).next()?.to_owned();
		(row[0].len() == cell.len() + 2 && begins(&cell)).then_some(cell)
	});
	let shown: BTreeSet<_> = shown.collect();
	let missing = expected.difference(&shown).map(|one| format!("the page lacks {one}"));
	let more = shown.difference(&expected).map(|one| format!("the types have no {one}"));
	missing.chain(more).collect()
}

fn globals_that_differ(types: &str, page: &str) -> Vec<String> {
	let rows = rows(page);
	let row = |first: &str| rows.iter().find(|row| row[0] == first);
	let mut expected = std::collections::BTreeMap::<String, BTreeSet<String>>::new();
	for Declared { name: of, members } in declared(types) {
		let is_function = types.contains(&format!("declare function {of}"));
		let moved = ROWS.iter().find(|(name, _)| *name == of).map(|(_, row)| (*row).to_owned());
		let first =
			if is_function { "functions".into() } else { moved.unwrap_or(format!("`{of}`")) };
		let names = expected.entry(first).or_default();
		if is_function {
			names.insert(of);
		} else {
			names.extend(members.iter().map(|member| name(member).to_owned()));
		}
	}
	let mut wrong = Vec::new();
	for (first, names) in expected {
		let Some(row) = row(&first) else {
			wrong.push(format!("the page has no row {first}"));
			continue;
		};
		let shown: BTreeSet<_> = code(&row[1]).map(str::to_owned).collect();
		// Types that are named in passing.
		let shown = shown.iter().filter(|name| !name.starts_with(char::is_uppercase));
		let shown: BTreeSet<_> = shown.cloned().collect();
		wrong.extend(names.difference(&shown).map(|one| format!("{first} lacks {one}")));
		wrong.extend(shown.difference(&names).map(|one| format!("{first} has no {one}")));
	}
	wrong
}

const INDEX: &str = "clients/sdk-js/types/index.d.ts";
const GLOBALS: &str = "clients/sdk-js/types/globals.d.ts";

#[test]
fn the_page_has_every_signature_that_an_agent_is_given_and_no_other() {
	let (types, page) = (read(INDEX), read(PAGE));
	assert_eq!(signatures_that_differ(&types, &page), [""; 0]);

	let more =
		types.replace("  readonly attempt:", "  readonly tries: number;\n  readonly attempt:");
	assert_eq!(signatures_that_differ(&more, &page), ["the page lacks ctx.tries: number"]);
	let less = types.replace("  readonly attempt: number;\n", "");
	assert_eq!(signatures_that_differ(&less, &page), ["the types have no ctx.attempt: number"]);
	let other = types.replace("limit?: number", "limit?: bigint");
	assert_eq!(signatures_that_differ(&other, &page).len(), 2);
	let code = types.replace("    | \"network\"\n", "");
	assert_eq!(signatures_that_differ(&code, &page), ["the types have no \"network\""]);
}

#[test]
fn the_page_has_every_global_name_and_no_other() {
	let (types, page) = (read(GLOBALS), read(PAGE));
	assert_eq!(globals_that_differ(&types, &page), [""; 0]);

	let less = types.replace("  throwIfAborted(): void;\n", "");
	assert_eq!(globals_that_differ(&less, &page), ["`AbortSignal` has no throwIfAborted"]);
	let more = types
		+ "declare class Blob {\n  readonly size: number;\n}\ndeclare function alert(): void;\n";
	let wrong = globals_that_differ(&more, &page);
	assert_eq!(wrong, ["the page has no row `Blob`", "functions lacks alert"]);
}
