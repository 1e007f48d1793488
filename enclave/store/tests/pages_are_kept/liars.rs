//! Processes that answer wrongly in every way: each lie is a named error, and the next process is asked.

use crate::common::*;
use codec::{DecodeAll, Encode};
use futures::{executor::block_on, future::join_all};
use phala_protocol::H256;
use phala_store::{
	limits::{
		HELLO_BYTES_MAX, NAMES_PER_FRAME_MAX, NAMES_PER_PAGE, PAGES_PER_FRAME_MAX, PAGE_BYTES_MAX,
		READS_PAGES_MAX, WRITES_PAGES_MAX,
	},
	protocol::{
		frame, read_body, read_head, write_frame, Answer, Hello, OpenError, Opened, Request,
		HELLO_ID, PROTOCOL_VERSION,
	},
	Blocking, Connection, End, Launcher, Life, Store, StoreError, Timing, UnavailableError,
};
use std::{
	io::{self, Read, Write},
	net::Shutdown,
	os::unix::net::UnixStream,
	sync::{
		atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
		mpsc::{channel, Receiver},
		Arc, Mutex,
	},
	thread,
	time::Duration,
};

type Script = Arc<dyn Fn(&mut UnixStream) + Send + Sync>;

/// Speaks after the script of a villain at first, and honestly when it is started again.
struct Actor {
	villain: Option<Script>,
}

impl Actor {
	fn plays(villain: impl Fn(&mut UnixStream) + Send + Sync + 'static) -> Self {
		Self { villain: Some(Arc::new(villain)) }
	}
}

struct Stage(UnixStream);

impl Life for Stage {
	fn end(&mut self, _: Duration) -> End {
		let _ = self.0.shutdown(Shutdown::Both);
		End::Ended
	}

	fn id(&self) -> u32 {
		0
	}
}

impl Launcher for Actor {
	fn launch(&mut self, _: bool) -> io::Result<Connection> {
		let (ours, mut theirs) = UnixStream::pair()?;
		let script = self.villain.take().unwrap_or_else(|| Arc::new(honest));
		thread::spawn(move || {
			script(&mut theirs);
			let _ = theirs.shutdown(Shutdown::Both);
		});
		Ok(Connection {
			input: Box::new(ours.try_clone()?),
			output: Box::new(ours.try_clone()?),
			life: Box::new(Stage(ours)),
		})
	}
}

fn hello() -> Hello {
	Hello { protocol: PROTOCOL_VERSION, opened: Ok(Opened::default()) }
}

fn greet(stream: &mut UnixStream) {
	write_frame(stream, HELLO_ID, &hello()).unwrap();
}

fn asked(stream: &mut UnixStream) -> Option<(u64, Request)> {
	let head = read_head(stream).ok()??;
	let body = read_body(stream, head.body_bytes).ok()?;
	Some((head.id, Request::decode_all(&mut &body[..]).unwrap()))
}

const PAGE: [u8; 4] = [1, 2, 3, 4];

/// Has the same page under every name.
fn honest(stream: &mut UnixStream) {
	greet(stream);
	while let Some((id, request)) = asked(stream) {
		let answer = match request {
			Request::Get { names, .. } => Answer::Pages(vec![Some(PAGE.to_vec()); names.len()]),
			Request::Has { names, .. } => Answer::Present(vec![true; names.len()]),
			Request::Names { .. } => Answer::Names(vec![]),
			_ => Answer::Done,
		};
		if write_frame(stream, id, &answer).is_err() {
			return;
		}
	}
}

/// Answers the first question with these bytes.
fn says(body: impl Fn(u64) -> Vec<u8> + Send + Sync + 'static) -> Actor {
	Actor::plays(move |stream| {
		greet(stream);
		let Some((id, _)) = asked(stream) else { return };
		let _ = stream.write_all(&body(id));
		// It stays, and would go on.
		let _ = stream.read(&mut [0; 1]);
	})
}

fn answers(answer: Answer) -> Actor {
	says(move |id| frame(id, &answer))
}

/// What the first question got; then the next process is asked, and answers.
fn lied_to(actor: Actor, timing: Timing) -> StoreError {
	let store = Store::over(actor, timing).unwrap().blocking();
	let error = store.get(&AGENT, &[name(1), name(2)]).unwrap_err();
	goes_on(&store);
	error
}

/// The same, asked when he has greeted: his deadline begins then.
fn lied_to_when_open(actor: Actor, timing: Timing) -> StoreError {
	let opened = opened(actor, timing);
	let error = opened.blocking().get(&AGENT, &[name(1), name(2)]).unwrap_err();
	goes_on(&opened.blocking());
	error
}

fn opened(actor: Actor, timing: Timing) -> Store {
	let store = Store::over(actor, timing).unwrap();
	until("his greeting", || store.status().is_open.then_some(()));
	store
}

fn goes_on(store: &Blocking) {
	let found = honestly(|| store.get(&AGENT, &[name(1), name(2)]));
	assert_eq!(found, vec![Some(PAGE.to_vec()); 2]);
}

/// The next one does not lie, however long he takes to come.
fn honestly<T>(mut ask: impl FnMut() -> Result<T, StoreError>) -> T {
	until("an honest one", || match ask() {
		Ok(found) => Some(found),
		Err(StoreError::Lied { why }) => panic!("{why}"),
		Err(_) => None,
	})
}

fn is_lie(error: StoreError, about: &str) {
	let StoreError::Lied { why } = &error else { panic!("{error:?}, not about {about}") };
	assert!(why.contains(about), "{why}, not about {about}");
}

fn pages(count: usize, bytes: usize) -> Answer {
	Answer::Pages(vec![Some(vec![7; bytes]); count])
}

#[test]
fn who_gives_too_many_too_few_or_too_long_pages_is_named() {
	is_lie(lied_to(answers(pages(3, 4)), SOON), "more");
	is_lie(lied_to(answers(pages(1, 4)), SOON), "fewer");
	is_lie(lied_to(answers(pages(0, 0)), SOON), "fewer");
	is_lie(lied_to(answers(pages(1, PAGE_BYTES_MAX + 1)), SOON), "fewer");
	let one_too_long = Answer::Pages(vec![Some(vec![7; PAGE_BYTES_MAX + 1]), None]);
	is_lie(lied_to(answers(one_too_long), SOON), "too long");
	is_lie(lied_to(answers(pages(2, PAGE_BYTES_MAX + 1000)), SOON), "longer");
}

#[test]
fn who_answers_another_question_is_named() {
	is_lie(lied_to(answers(Answer::Present(vec![true, true])), SOON), "another question");
	is_lie(lied_to(answers(Answer::Done), SOON), "another question");
	is_lie(lied_to(answers(Answer::Names(vec![name(1)])), SOON), "another question");
}

/// Says random bytes.
struct Garbler;

impl Garbler {
	fn body(seed: u64) -> Vec<u8> {
		let mut rng = dice(seed);
		let bytes = below(&mut rng, 200);
		page(&mut rng, bytes)
	}
}

#[test]
fn who_says_garbage_is_refused_whatever_it_is() {
	for seed in 0..200 {
		let garbage = Garbler::body(seed);
		// Some of it may be a refusal by chance.
		let bytes =
			[&(garbage.len() as u32 + 8).to_le_bytes()[..], &1u64.to_le_bytes(), &garbage].concat();
		let error = lied_to(says(move |_| bytes.clone()), SOON);
		assert!(matches!(error, StoreError::Lied { .. } | StoreError::Refused(_)), "{error}");
		// Without a frame around it.
		let garbage = Garbler::body(seed);
		let actor = Actor::plays(move |stream| {
			greet(stream);
			let _ = asked(stream);
			let _ = stream.write_all(&garbage);
		});
		let error = lied_to(actor, SOON);
		let is_named = matches!(
			error,
			StoreError::Lied { .. }
				| StoreError::Died
				| StoreError::Unavailable(UnavailableError::Ended)
		);
		assert!(is_named, "{error}");
	}
}

/// Says that much comes, and sends nothing: whoever made room for it would have none.
#[test]
fn who_announces_more_than_was_asked_for_is_not_waited_for() {
	let announces =
		|length: u32| says(move |id| [&length.to_le_bytes()[..], &id.to_le_bytes()].concat());
	// Nobody asked: the connection ends before the question is answered.
	for length in [u32::MAX, 1 << 30, 0, 7] {
		assert_eq!(lied_to(announces(length), SOON), StoreError::Died);
	}
	is_lie(lied_to(announces(4 << 20), SOON), "longer");
	let count_of_all = |id| {
		let list = [&[0u8][..], &codec::Compact(u32::MAX).encode()].concat();
		let head = [&(list.len() as u32 + 8).to_le_bytes()[..], &u64::to_le_bytes(id)].concat();
		[head, list].concat()
	};
	is_lie(lied_to(says(count_of_all), SOON), "more");
}

#[test]
fn who_answers_what_nobody_asked_or_twice_is_not_asked_again() {
	let error = lied_to(says(|id| frame(id + 1, &pages(2, 4))), SOON);
	assert_eq!(error, StoreError::Died);
	let error = lied_to(says(|_| frame(HELLO_ID, &hello())), SOON);
	assert_eq!(error, StoreError::Died);
	// The first is as good as any; the second ends it.
	let repeater = says(|id| [frame(id, &pages(2, 9)), frame(id, &pages(2, 9))].concat());
	let store = Store::over(repeater, SOON).unwrap();
	let found = store.blocking().get(&AGENT, &[name(1), name(2)]).unwrap();
	assert_eq!(found, vec![Some(vec![7; 9]); 2]);
	until("the next", || (store.status().starts >= 2).then_some(()));
	assert_eq!(again(|| store.blocking().get(&AGENT, &[name(1)])), [Some(PAGE.to_vec())]);
}

#[test]
fn who_lists_without_order_or_too_many_is_named() {
	let mut names: Vec<H256> = (0..3).map(name).collect();
	names.sort();
	let [first, second, third] = names[..] else { unreachable!() };
	let lists = [vec![second, first], vec![third, third], vec![first], vec![first, second, third]];
	for list in lists {
		let store = Store::over(answers(Answer::Names(list.clone())), SOON).unwrap().blocking();
		let refused = store.names(&AGENT, Some(first), 2).unwrap_err();
		assert!(matches!(refused, StoreError::Lied { .. }), "{list:?}");
	}
	let store = Store::over(answers(Answer::Names(vec![second, third])), SOON).unwrap().blocking();
	assert_eq!(store.names(&AGENT, Some(first), 2).unwrap(), [second, third]);
	for count in [1, 3] {
		let store =
			Store::over(answers(Answer::Present(vec![true; count])), SOON).unwrap().blocking();
		let refused = store.has(&AGENT, &[first, second]).unwrap_err();
		assert!(matches!(refused, StoreError::Lied { .. }), "{count} for two");
	}
	let usage = phala_store::protocol::Usage::default();
	for list in
		[vec![(third, usage), (second, usage)], vec![(second, usage); 2], vec![(first, usage)]]
	{
		let store = Store::over(answers(Answer::Agents(list)), SOON).unwrap().blocking();
		assert!(matches!(store.agents(Some(first), 5), Err(StoreError::Lied { .. })));
	}
}

const IMPATIENT: Timing = Timing { answer: Duration::from_millis(400), ..SOON };

/// Waits until he is thrown out.
fn waits(stream: &mut UnixStream) {
	while stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {}
}

#[test]
fn who_is_silent_or_stops_within_an_answer_is_given_up_at_the_deadline() {
	let mute = Actor::plays(|stream| {
		greet(stream);
		waits(stream);
	});
	assert_eq!(lied_to_when_open(mute, IMPATIENT), StoreError::Silent { ms: 400 });
	let stopper = Actor::plays(|stream| {
		greet(stream);
		let Some((id, _)) = asked(stream) else { return };
		let answer = frame(id, &pages(2, 100));
		let _ = stream.write_all(&answer[..answer.len() - 1]);
		waits(stream);
	});
	assert_eq!(lied_to_when_open(stopper, IMPATIENT), StoreError::Silent { ms: 400 });
	// He reads nothing, and his pipe is full. Gone with this test.
	let (_test, lasts) = channel::<()>();
	let lasts = Mutex::new(lasts);
	let deaf = Actor::plays(move |stream| {
		greet(stream);
		let _ = lasts.lock().unwrap().recv();
	});
	let store = opened(deaf, IMPATIENT).blocking();
	let long: Vec<_> = (0..30).map(|number| (name(number), vec![0; PAGE_BYTES_MAX])).collect();
	assert_eq!(store.put(&AGENT, &long), Err(StoreError::Silent { ms: 400 }));
	honestly(|| store.put(&AGENT, &long));
}

#[test]
fn who_never_opens_is_given_up_and_who_asks_meanwhile_is_told_that_he_opens() {
	// Until the question was answered.
	let (answered, question) = channel::<()>();
	let question = Mutex::new(question);
	let opens_for_ever = Actor::plays(move |_| {
		let _ = question.lock().unwrap().recv();
	});
	let store = Store::over(opens_for_ever, IMPATIENT).unwrap().blocking();
	let error = store.get(&AGENT, &[name(1), name(2)]).unwrap_err();
	assert_eq!(error, StoreError::Opening);
	answered.send(()).unwrap();
	goes_on(&store);
	let timing = Timing { open: Duration::from_millis(400), ..SOON };
	goes_on(&Store::over(Actor::plays(waits), timing).unwrap().blocking());
}

/// Ends only when he is let.
struct Lingerer {
	honest: Box<dyn Life>,
	may_end: Receiver<()>,
	has_ended: Arc<AtomicBool>,
}

impl Life for Lingerer {
	fn end(&mut self, patience: Duration) -> End {
		let _ = self.may_end.recv();
		self.has_ended.store(true, SeqCst);
		self.honest.end(patience)
	}

	fn id(&self) -> u32 {
		0
	}
}

/// Is started once.
struct Lingers(Option<(Receiver<()>, Arc<AtomicBool>)>);

impl Launcher for Lingers {
	fn launch(&mut self, set_aside: bool) -> io::Result<Connection> {
		let (may_end, has_ended) = self.0.take().ok_or(io::ErrorKind::NotFound)?;
		let Connection { input, output, life } = Actor { villain: None }.launch(set_aside)?;
		let life = Box::new(Lingerer { honest: life, may_end, has_ended });
		Ok(Connection { input, output, life })
	}
}

#[test]
fn whoever_closes_it_by_whichever_handle_waits_until_it_has_ended() {
	let (let_end, may_end) = channel();
	let has_ended = Arc::new(AtomicBool::new(false));
	let store = Store::over(Lingers(Some((may_end, has_ended.clone()))), SOON).unwrap();
	until("his greeting", || store.status().is_open.then_some(()));
	thread::scope(|scope| {
		let closes = || {
			let (store, has_ended) = (store.clone(), &has_ended);
			scope.spawn(move || {
				store.close();
				assert!(has_ended.load(SeqCst), "before it has ended");
			})
		};
		let both = [closes(), closes()];
		// Time for both to wait.
		thread::sleep(Duration::from_millis(100));
		let_end.send(()).unwrap();
		both.into_iter().for_each(|closes| closes.join().unwrap());
	});
}

#[test]
fn who_dies_within_an_answer_leaves_a_named_error() {
	for part in [0, 3, 11, 12, 40] {
		let quitter = Actor::plays(move |stream| {
			greet(stream);
			let Some((id, _)) = asked(stream) else { return };
			let _ = stream.write_all(&frame(id, &pages(2, 100))[..part]);
		});
		assert_eq!(lied_to(quitter, SOON), StoreError::Died, "after {part} bytes");
	}
}

#[test]
fn who_does_not_begin_with_a_hello_of_this_release_is_not_asked() {
	let begins = |bytes: Vec<u8>| {
		Actor::plays(move |stream| {
			let _ = stream.write_all(&bytes);
			waits(stream);
		})
	};
	let other = Hello { protocol: PROTOCOL_VERSION + 1, ..hello() };
	let long = [hello().encode(), vec![0; HELLO_BYTES_MAX]].concat();
	let long =
		[&(long.len() as u32 + 8).to_le_bytes()[..], &HELLO_ID.to_le_bytes(), &long].concat();
	for bytes in [
		frame(HELLO_ID, &other),
		frame(1, &hello()),
		frame(HELLO_ID, &pages(1, 4)),
		vec![0xff; 100],
		long,
	] {
		// It may be found out before the question is put to it.
		let why = lied_to(begins(bytes), SOON);
		let known = [StoreError::Died, StoreError::Unavailable(UnavailableError::Ended)];
		assert!(known.contains(&why), "{why:?}");
	}
	let refused = Hello { opened: Err(OpenError::NewerFormat { found: 9, known: 1 }), ..hello() };
	let why = UnavailableError::CannotOpen(OpenError::NewerFormat { found: 9, known: 1 });
	assert_eq!(lied_to(begins(frame(HELLO_ID, &refused)), SOON), StoreError::Unavailable(why));
}

/// One that greets, answers nothing, and counts what it is asked.
fn counting_mute() -> (Actor, Arc<AtomicUsize>) {
	let got = Arc::new(AtomicUsize::new(0));
	let counter = got.clone();
	let mute = Actor::plays(move |stream| {
		greet(stream);
		while asked(stream).is_some() {
			counter.fetch_add(1, SeqCst);
		}
	});
	(mute, got)
}

#[test]
fn a_silent_process_is_sent_no_more_than_the_limit() {
	let (mute, got) = counting_mute();
	let store = opened(mute, IMPATIENT);
	let names = vec![name(1); PAGES_PER_FRAME_MAX];
	let gets = (0..200).map(|_| store.get(&AGENT, &names));
	let found = block_on(join_all(gets));
	let silent =
		found.iter().filter(|found| matches!(found, Err(StoreError::Silent { .. }))).count();
	let fit = READS_PAGES_MAX as usize / PAGES_PER_FRAME_MAX;
	assert!((1..=fit).contains(&silent), "{silent} were under way");
	assert!(got.load(SeqCst) <= fit, "{} were sent", got.load(SeqCst));
}

#[test]
fn deletions_and_looks_are_sent_no_more_at_once_than_their_names_cost() {
	for is_delete in [true, false] {
		let (mute, got) = counting_mute();
		let store = opened(mute, IMPATIENT);
		let names = vec![name(1); NAMES_PER_FRAME_MAX * 200];
		if is_delete {
			assert!(block_on(store.delete(&AGENT, &names)).is_err());
		} else {
			let looks = (0..200).map(|_| store.has(&AGENT, &names[..NAMES_PER_FRAME_MAX]));
			let first = block_on(join_all(looks)).remove(0);
			assert_eq!(first, Err(StoreError::Silent { ms: 400 }));
		}
		let fit =
			WRITES_PAGES_MAX.min(READS_PAGES_MAX) as usize * NAMES_PER_PAGE / NAMES_PER_FRAME_MAX;
		assert!((1..=fit).contains(&got.load(SeqCst)), "{} were sent", got.load(SeqCst));
	}
}
