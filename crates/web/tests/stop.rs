//! The end of the program: its own test program, because the wish to stop is one for the whole process.

mod common;

use std::time::{Duration, Instant};

use regrow_ops::jobs;

#[test]
fn the_program_ends_soon_though_pages_are_open_and_leaves_sessions_behind() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = common::context(dir.path(), &dir.path().join("home"));
    let mut options = regrow_web::Serve::new(ctx.clone());
    options.listen = "127.0.0.1:0".parse().unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let serving = std::thread::spawn(move || regrow_web::serve(options, |s| sender.send(s.clone()).unwrap()));
    receiver.recv_timeout(Duration::from_secs(20)).unwrap();

    let (go, wait) = std::sync::mpsc::channel::<()>();
    let job = jobs::start(&ctx, "build", Some("web1"), move |_| {
        let _ = wait.recv();
        Ok(serde_json::Value::Null)
    });
    let link = regrow_web::new_link(&dir.path().join("home")).unwrap();
    let stream = {
        use std::io::{Read, Write};
        let ask = |path: &str, cookie: &str| {
            let mut stream = std::net::TcpStream::connect(link.address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\nCookie: {cookie}\r\n\r\n", link.address);
            stream.write_all(request.as_bytes()).unwrap();
            stream
        };
        let mut answer = String::new();
        ask(&link.link[link.link.find("/?").unwrap()..], "").read_to_string(&mut answer).unwrap();
        let cookie = answer.split("set-cookie: ").nth(1).unwrap().split(';').next().unwrap().to_owned();
        let mut stream = ask(&format!("/job/{}/events", job.unwrap()), &cookie);
        let mut first = [0u8; 15];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.0 200 OK");
        stream
    };

    let since = Instant::now();
    regrow_host::cancel::request();
    serving.join().unwrap().unwrap();
    assert!(since.elapsed() < Duration::from_secs(15), "{:?}", since.elapsed());
    drop((stream, go));
    assert!(!dir.path().join("home/serve.json").exists());
    assert_eq!(std::fs::read_dir(dir.path().join("home/web/sessions")).unwrap().count(), 1);
    assert!(matches!(regrow_web::new_link(&dir.path().join("home")), Err(regrow_web::Error::NotServing { .. })));
}
