//! The hub client against servers on the loopback interface, over real sockets.

mod server;

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use server::{Seen, Server, breaking_store, content, linked, noise, redirect, sha256, status};

const NAME: &str = "someone/detector/model.safetensors";
const SIZE: usize = 700_000;

fn network() -> Network {
    let (second, moment) = (Duration::from_secs(1), Duration::from_millis(1));
    Network { connect: second, stall: second, retries: 3, backoff: moment, proxy: None }
}

fn hub(server: &Server, cache: &TempDir) -> Hub {
    Hub::new(&server.url, cache.path().to_owned(), None, network()).unwrap()
}

fn pull(hub: &Hub) -> Result<Pulled, HubError> {
    hub.pull(NAME, &mut |_| {})
}

/// A hub that has `bytes` itself, without a store.
fn plain(bytes: Vec<u8>) -> Server {
    Server::new(move |seen, _| content(seen, &bytes))
}

fn parts(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains("part")).collect()
}

#[test]
fn a_model_and_its_configuration_come_to_a_stable_place() {
    let (cache, bytes) = (TempDir::new().unwrap(), noise(SIZE, 1));
    let hub_server = plain(bytes.clone());
    let mut last = None;
    let mut progress = |news: Progress<'_>| {
        if let Progress::Bytes { file, done, total, .. } = news {
            last = Some((file.to_owned(), done, total));
        }
    };
    let pulled = hub(&hub_server, &cache).pull("someone/detector@refs/pr/7", &mut progress).unwrap();
    let folder = cache.path().join("hub/someone--detector/refs%2Fpr%2F7");
    assert_eq!(pulled.path, folder.join("model.safetensors"));
    assert_eq!(pulled.files, [folder.join("model.safetensors"), folder.join("config.json")]);
    assert_eq!(fs::read(&pulled.path).unwrap(), bytes);
    assert_eq!((pulled.sha256, pulled.checked, pulled.freshness), (sha256(&bytes), false, Freshness::Downloaded));
    assert_eq!(last, Some(("model.safetensors".to_owned(), SIZE as u64, Some(SIZE as u64))));
    assert!(parts(&folder).is_empty());
    assert_eq!(hub_server.gets()[0].url, "/someone/detector/resolve/refs%2Fpr%2F7/config.json");
    assert_eq!(hub_server.gets()[0].header("accept-encoding"), Some("identity"));
}

#[test]
fn a_store_on_another_port_gets_no_token_and_the_hubs_sha256_is_checked() {
    let (cache, bytes) = (TempDir::new().unwrap(), noise(SIZE, 2));
    let store = plain(bytes.clone());
    let to = format!("{}/store?signed", store.url);
    let hub_server = Server::new({
        let bytes = bytes.clone();
        move |seen, _| match seen.url.starts_with("/moved") {
            true => linked(&to, &bytes),
            false => redirect(&seen.url.replace("/someone/", "/moved/")),
        }
    });
    let client = Hub::new(&hub_server.url, cache.path().to_owned(), Some("secret".to_owned()), network()).unwrap();
    let pulled = pull(&client).unwrap();
    assert_eq!(fs::read(&pulled.path).unwrap(), bytes);
    assert_eq!((pulled.checked, pulled.commit.as_deref()), (true, Some("c0ffee")));
    assert!(hub_server.seen().iter().all(|seen| seen.header("authorization") == Some("Bearer secret")));
    assert_eq!(store.seen().len(), 1);
    assert_eq!(store.seen()[0].header("authorization"), None);
}

/// A hub whose large files lie in a store that breaks first and works from the second GET on.
fn hub_with_breaking_store(bytes: &[u8], sent: usize, stall: bool, store: &Server) -> Server {
    let (breaking, working) = (breaking_store(bytes.to_vec(), sent, stall), store.url.clone());
    let gets = std::sync::atomic::AtomicUsize::new(0);
    let bytes = bytes.to_vec();
    Server::new(move |seen, _| {
        let first = !seen.is_head() && gets.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
        linked(if first || seen.is_head() { &breaking } else { &working }, &bytes)
    })
}

#[test]
fn a_cut_connection_is_resumed_where_it_broke() {
    for stall in [false, true] {
        let (cache, bytes) = (TempDir::new().unwrap(), noise(SIZE, 3));
        let store = plain(bytes.clone());
        let hub_server = hub_with_breaking_store(&bytes, 300_001, stall, &store);
        let mut retried = 0;
        let mut progress = |news: Progress<'_>| retried += usize::from(matches!(news, Progress::Retrying { .. }));
        let pulled = hub(&hub_server, &cache).pull(NAME, &mut progress).unwrap();
        assert_eq!((fs::read(&pulled.path).unwrap() == bytes, pulled.checked, retried), (true, true, 1));
        let asked: Vec<_> = store.gets().iter().map(|seen| seen.header("range").map(str::to_owned)).collect();
        assert_eq!(asked, [Some("bytes=300001-".to_owned())], "stall {stall}");
    }
}

#[test]
fn the_next_run_goes_on_with_what_an_earlier_one_left() {
    let (cache, bytes) = (TempDir::new().unwrap(), noise(SIZE, 4));
    let store = plain(bytes.clone());
    let hub_server = hub_with_breaking_store(&bytes, 400_000, false, &store);
    let impatient = Network { retries: 0, ..network() };
    let first = Hub::new(&hub_server.url, cache.path().to_owned(), None, impatient).unwrap();
    let message = pull(&first).unwrap_err().to_string();
    assert!(message.contains("broke off at 400000 bytes") && message.contains("goes on from there"), "{message}");
    assert_eq!(parts(&cache.path().join("hub/someone--detector/main")).len(), 2);
    let pulled = pull(&hub(&hub_server, &cache)).unwrap();
    assert!(fs::read(&pulled.path).unwrap() == bytes);
    assert_eq!(store.gets()[0].header("range"), Some("bytes=400000-"));
    assert!(store.gets()[0].header("if-range").is_some());
    assert!(parts(pulled.path.parent().unwrap()).is_empty());
}

#[test]
fn a_server_that_ignores_ranges_is_read_from_the_start() {
    let (cache, bytes) = (TempDir::new().unwrap(), noise(SIZE, 5));
    let store = Server::new({
        let bytes = bytes.clone();
        move |_, _| (200, Vec::new(), bytes.clone())
    });
    let hub_server = hub_with_breaking_store(&bytes, 300_000, false, &store);
    let pulled = pull(&hub(&hub_server, &cache)).unwrap();
    assert!(fs::read(&pulled.path).unwrap() == bytes);
    assert!(store.gets()[0].header("range").is_some());
}

#[test]
fn a_part_of_an_older_version_is_thrown_away() {
    let (cache, old, new) = (TempDir::new().unwrap(), noise(SIZE, 6), noise(SIZE, 7));
    let breaking = breaking_store(old.clone(), 300_000, false);
    let old_hub = Server::new(move |_, _| linked(&breaking, &old));
    let impatient = Network { retries: 0, ..network() };
    pull(&Hub::new(&old_hub.url, cache.path().to_owned(), None, impatient).unwrap()).unwrap_err();
    let store = plain(new.clone());
    let to = store.url.clone();
    let new_hub = Server::new({
        let new = new.clone();
        move |_, _| linked(&to, &new)
    });
    let pulled = pull(&hub(&new_hub, &cache)).unwrap();
    assert!(fs::read(&pulled.path).unwrap() == new);
    assert_eq!(store.gets()[0].header("range"), None);
}

#[test]
fn wrong_bytes_are_deleted_and_reported() {
    let (cache, promised) = (TempDir::new().unwrap(), noise(SIZE, 8));
    for (sent, expected) in [(noise(SIZE, 9), "SHA-256 is"), (noise(SIZE + 1, 8), "700001 bytes, not 700000")] {
        let store = plain(sent);
        let to = store.url.clone();
        let promised = promised.clone();
        let hub_server = Server::new(move |_, _| linked(&to, &promised));
        let message = pull(&hub(&hub_server, &cache)).unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains("was deleted"), "{message}");
        let folder = cache.path().join("hub/someone--detector/main");
        assert!(parts(&folder).is_empty() && !folder.join("model.safetensors").exists());
    }
}

#[test]
fn a_file_other_than_the_tables_is_refused_before_it_is_downloaded() {
    let (cache, bytes) = (TempDir::new().unwrap(), noise(1000, 10));
    let hub_server = Server::new(move |_, _| linked("/store", &bytes));
    let entry = table::resolve(NAME).unwrap();
    let sha = "0".repeat(64);
    for pinned in [Pinned { bytes: Some(1001), sha256: None }, Pinned { bytes: Some(1000), sha256: Some(&sha) }] {
        let result = hub(&hub_server, &cache).fetch(&entry, &entry.file, pinned, &mut |_| {});
        let message = result.unwrap_err().to_string();
        assert!(message.contains("nothing was downloaded"), "{message}");
    }
    assert!(hub_server.gets().is_empty());
}

#[test]
fn refusals_say_what_to_do_and_are_not_retried() {
    let cases = [(404, "has no file model.safetensors"), (401, "set HF_TOKEN"), (403, "terms accepted"), (400, "400")];
    for (code, expected) in cases {
        let cache = TempDir::new().unwrap();
        let hub_server = Server::new(move |_, _| status(code));
        let message = pull(&hub(&hub_server, &cache)).unwrap_err().to_string();
        assert!(message.contains(expected) && !message.contains('\n'), "{message}");
        assert_eq!(hub_server.seen().len(), 1, "{code}");
    }
}

#[test]
fn an_extra_file_that_an_unlisted_repository_lacks_is_left_out() {
    let (cache, bytes) = (TempDir::new().unwrap(), noise(1000, 11));
    let hub_server = Server::new(move |seen, _| match seen.url.ends_with("config.json") {
        true => status(404),
        false => content(seen, &bytes),
    });
    let pulled = hub(&hub_server, &cache).pull("someone/detector", &mut |_| {}).unwrap();
    assert_eq!(pulled.files, [pulled.path]);
}

#[test]
fn passing_failures_of_the_hub_are_retried() {
    for code in [500, 503, 429] {
        let (cache, bytes) = (TempDir::new().unwrap(), noise(1000, 12));
        // Two failures for the question, two for the download.
        let hub_server = Server::new(move |seen, n| match n {
            2 => content(seen, &bytes),
            0..5 => status(code),
            _ => content(seen, &bytes),
        });
        pull(&hub(&hub_server, &cache)).unwrap();
        assert_eq!((hub_server.seen().len(), hub_server.gets().len()), (6, 3));
    }
}

#[test]
fn a_hub_that_keeps_failing_is_given_up() {
    let cache = TempDir::new().unwrap();
    let hub_server = Server::new(|_, _| status(503));
    let message = pull(&hub(&hub_server, &cache)).unwrap_err().to_string();
    assert!(message.contains("answers 503") && message.contains("try again later"), "{message}");
    assert_eq!(hub_server.seen().len(), 4);
}

#[test]
fn a_second_pull_asks_but_does_not_download() {
    let (cache, bytes) = (TempDir::new().unwrap(), noise(SIZE, 13));
    let hub_server = plain(bytes);
    let first = pull(&hub(&hub_server, &cache)).unwrap();
    let second = pull(&hub(&hub_server, &cache)).unwrap();
    assert_eq!((second.path, second.freshness), (first.path, Freshness::Cached));
    let methods: Vec<_> = hub_server.seen().into_iter().map(|seen| seen.method).collect();
    assert_eq!(methods, ["HEAD", "GET", "HEAD"]);
}

#[test]
fn a_changed_file_is_downloaded_again() {
    let (cache, old, new) = (TempDir::new().unwrap(), noise(SIZE, 14), noise(SIZE, 15));
    pull(&hub(&plain(old), &cache)).unwrap();
    let pulled = pull(&hub(&plain(new.clone()), &cache)).unwrap();
    assert!(fs::read(&pulled.path).unwrap() == new);
    assert_eq!(pulled.freshness, Freshness::Downloaded);
}

#[test]
fn a_commit_that_is_in_the_cache_is_not_asked_for() {
    let (cache, name) = (TempDir::new().unwrap(), format!("{NAME}@{}", "a1".repeat(20)));
    let hub_server = plain(noise(1000, 16));
    let hub = hub(&hub_server, &cache);
    hub.pull(&name, &mut |_| {}).unwrap();
    let before = hub_server.seen().len();
    let pulled = hub.pull(&name, &mut |_| {}).unwrap();
    assert_eq!((hub_server.seen().len(), pulled.freshness), (before, Freshness::Cached));
    fs::write(&pulled.path, "shorter").unwrap();
    assert_eq!(hub.pull(&name, &mut |_| {}).unwrap().freshness, Freshness::Downloaded);
}

#[test]
fn without_a_network_the_cache_is_used_and_the_user_is_told() {
    let cache = TempDir::new().unwrap();
    let hub_server = plain(noise(1000, 17));
    let hub = hub(&hub_server, &cache);
    pull(&hub).unwrap();
    drop(hub_server);
    let Freshness::Offline { reason } = pull(&hub).unwrap().freshness else { panic!("not offline") };
    assert!(reason.contains("cannot be reached"), "{reason}");
    let message = hub.pull("someone/other", &mut |_| {}).unwrap_err().to_string();
    assert!(message.contains("cannot be reached") && message.contains("check the network"), "{message}");
}

#[test]
fn a_file_placed_by_hand_is_taken_if_it_is_the_hubs() {
    let (cache, bytes) = (TempDir::new().unwrap(), noise(SIZE, 18));
    let folder = cache.path().join("hub/someone--detector/main");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("model.safetensors"), &bytes).unwrap();
    let hub_server = Server::new(move |_, _| linked("/store", &bytes));
    assert_eq!(pull(&hub(&hub_server, &cache)).unwrap().freshness, Freshness::Cached);
    assert!(hub_server.gets().is_empty());
}

#[test]
fn two_pulls_at_once_download_once() {
    let (cache, bytes) = (TempDir::new().unwrap(), noise(SIZE, 19));
    let hub_server = Server::new({
        let bytes = bytes.clone();
        move |seen: &Seen, _| {
            thread::sleep(Duration::from_millis(if seen.is_head() { 0 } else { 300 }));
            content(seen, &bytes)
        }
    });
    let waited = thread::scope(|scope| {
        let pull_and_count = || {
            let mut waited = 0;
            let mut count = |news: Progress<'_>| waited += usize::from(matches!(news, Progress::Waiting { .. }));
            let pulled = hub(&hub_server, &cache).pull(NAME, &mut count).unwrap();
            assert!(fs::read(pulled.path).unwrap() == bytes);
            waited
        };
        let both = [scope.spawn(pull_and_count), scope.spawn(pull_and_count)];
        both.map(|one| one.join().unwrap()).iter().sum::<usize>()
    });
    assert_eq!((hub_server.gets().len(), waited), (1, 1));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_said_to_be_full() {
    let (cache, bytes) = (TempDir::new().unwrap(), noise(SIZE, 20));
    let folder = cache.path().join("hub/someone--detector/main");
    fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink("/dev/full", folder.join("model.safetensors.part")).unwrap();
    let message = pull(&hub(&plain(bytes), &cache)).unwrap_err().to_string();
    assert!(message.contains("the disk is full") && message.contains("UNMASK_CACHE"), "{message}");
}

#[test]
fn the_environment_names_endpoint_token_and_cache() {
    let (cache, bytes) = (TempDir::new().unwrap(), noise(1000, 21));
    let hub_server = plain(bytes);
    let (url, folder) = (format!("{}/mirror/", hub_server.url), cache.path().display().to_string());
    let var = |name: &str| match name {
        "HF_ENDPOINT" => Some(url.clone()),
        "HF_TOKEN" => Some("secret\n".to_owned()),
        "UNMASK_CACHE" => Some(folder.clone()),
        _ => None,
    };
    let pulled = pull(&Hub::from_vars(var, network()).unwrap()).unwrap();
    assert!(pulled.path.starts_with(cache.path()));
    assert_eq!(hub_server.seen()[0].url, "/mirror/someone/detector/resolve/main/model.safetensors");
    assert_eq!(hub_server.seen()[0].header("authorization"), Some("Bearer secret"));
}

#[test]
fn without_variables_the_public_hub_and_the_users_cache_folder_are_used() {
    let hub = Hub::from_vars(|_| None, network()).unwrap();
    assert!(hub.cache.ends_with("unmask"));
    assert!(format!("{:?}", hub.client).contains(DEFAULT_ENDPOINT.trim_end_matches('/')));
}
