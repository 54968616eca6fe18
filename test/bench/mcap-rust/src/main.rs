//! Peer of test/bench/mcap-ours.c: same words on the command line, same JSON out.
//!     mcap-rust-peer write PAYLOAD OUT CODEC TOTAL_MB THREADS      OUT "-" = thrown away
//!     mcap-rust-peer read FILE [FROM_NS TO_NS]
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Result, Seek, SeekFrom, Write};
use std::time::Instant;

/// Takes everything, keeps nothing, knows where it is.
struct Nowhere {
    at: u64,
    end: u64,
}

impl Write for Nowhere {
    fn write(&mut self, b: &[u8]) -> Result<usize> {
        self.at += b.len() as u64;
        self.end = self.end.max(self.at);
        Ok(b.len())
    }
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Seek for Nowhere {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.at = match to {
            SeekFrom::Start(n) => n,
            SeekFrom::Current(d) => (self.at as i64 + d) as u64,
            SeekFrom::End(d) => (self.end as i64 + d) as u64,
        };
        Ok(self.at)
    }
}

fn cpu() -> f64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut t) };
    t.tv_sec as f64 + t.tv_nsec as f64 / 1e9
}

fn payload(path: &str) -> Vec<Vec<u8>> {
    let b = std::fs::read(path).expect("payload");
    let mut v = Vec::new();
    let mut i = 0;
    while i + 4 <= b.len() {
        let n = u32::from_le_bytes(b[i..i + 4].try_into().unwrap()) as usize;
        v.push(b[i + 4..i + 4 + n].to_vec());
        i += 4 + n;
    }
    v
}

fn write_all<W: Write + Seek>(out: W, a: &[String]) -> (u64, f64, f64, W) {
    let msgs = payload(&a[0]);
    let threads: u32 = a[4].parse().unwrap();
    let compression = match a[2].as_str() {
        "lz4" => Some(mcap::Compression::Lz4),
        "zstd" => Some(mcap::Compression::Zstd),
        _ => None,
    };
    let mut o = mcap::WriteOptions::new()
        .profile("ros2")
        .compression(compression)
        .chunk_size(Some(1 << 20))
        .calculate_chunk_crcs(true)
        .calculate_data_section_crc(false);
    if a[2] == "zstd" {
        o = o.compression_level(1).compression_threads(if threads > 1 { threads } else { 0 });
    }
    let total: u64 = a[3].parse::<u64>().unwrap() << 20;
    let (t, c) = (Instant::now(), cpu());
    let mut w = o.create(out).expect("create");
    let s = w.add_schema("std_msgs/msg/ByteMultiArray", "ros2msg", b"byte[] data\n").unwrap();
    let ch: Vec<u16> = (0..10)
        .map(|i| w.add_channel(s, &format!("/topic{i}"), "cdr", &BTreeMap::new()).unwrap())
        .collect();
    let (mut n, mut bytes) = (0u64, 0u64);
    while bytes < total {
        let m = &msgs[(n % msgs.len() as u64) as usize];
        let h = mcap::records::MessageHeader {
            channel_id: ch[(n % 10) as usize],
            sequence: n as u32,
            log_time: 1_000_000_000 + n * 1000,
            publish_time: 1_000_000_000 + n * 1000,
        };
        w.write_to_known_channel(&h, m).expect("write");
        n += 1;
        bytes += m.len() as u64;
    }
    w.finish().expect("finish");
    let out = w.into_inner();
    (n, t.elapsed().as_secs_f64(), cpu() - c, out)
}

fn read_all(path: &str, range: Option<(u64, u64)>) {
    let (t, c) = (Instant::now(), cpu());
    let map = map_file(path);
    let (mut n, mut bytes, mut sum) = (0u64, 0u64, 0u64);
    let mut take = |m: &mcap::Message| {
        n += 1;
        bytes += m.data.len() as u64;
        sum = sum.wrapping_add(m.log_time);
    };
    match range {
        None => {
            for m in mcap::MessageStream::new(map).unwrap() {
                take(&m.unwrap());
            }
        }
        Some((from, to)) => {
            let s = mcap::Summary::read(map).unwrap().unwrap();
            let mut idx: Vec<_> = s.chunk_indexes.iter()
                .filter(|c| c.message_end_time >= from && c.message_start_time < to).collect();
            idx.sort_by_key(|c| c.message_start_time);
            for c in idx {
                for m in s.stream_chunk(map, c).unwrap() {
                    let m = m.unwrap();
                    if m.log_time >= from && m.log_time < to {
                        take(&m);
                    }
                }
            }
        }
    }
    println!("{{\"messages\":{n},\"bytes\":{bytes},\"sum\":{sum},\"seconds\":{},\"cpu\":{}}}",
             t.elapsed().as_secs_f64(), cpu() - c);
}

fn map_file(path: &str) -> &'static [u8] {
    use std::os::fd::AsRawFd;
    let f = File::open(path).unwrap();
    let n = f.metadata().unwrap().len() as usize;
    unsafe {
        let p = libc::mmap(std::ptr::null_mut(), n, libc::PROT_READ, libc::MAP_PRIVATE, f.as_raw_fd(), 0);
        std::slice::from_raw_parts(p as *const u8, n)
    }
}

/// Reads a file in every way the library knows: straight through, chunk by chunk by the summary,
/// and message by message by the indexes. All must see the same.
fn check(path: &str) {
    let map = map_file(path);
    let fold = |s: u64, m: &mcap::Message| -> u64 {
        m.data.iter().chain(m.channel.topic.as_bytes()).fold(s ^ m.log_time, |h, b| {
            (h ^ *b as u64).wrapping_mul(0x100_0000_01b3)
        })
    };
    let (mut n, mut h) = (0u64, 0u64);
    for m in mcap::MessageStream::new(map).unwrap() {
        h = h.wrapping_add(fold(1, &m.unwrap()));
        n += 1;
    }
    let s = mcap::Summary::read(map).unwrap().expect("summary");
    assert_eq!(s.stats.as_ref().unwrap().message_count, n);
    let (mut n2, mut h2, mut n3, mut h3) = (0u64, 0u64, 0u64, 0u64);
    for c in &s.chunk_indexes {
        for m in s.stream_chunk(map, c).unwrap() {
            h2 = h2.wrapping_add(fold(1, &m.unwrap()));
            n2 += 1;
        }
        for (_, v) in s.read_message_indexes(map, c).unwrap() {
            for e in v.iter().take(100) {
                let m = s.seek_message(map, c, e).unwrap();
                assert_eq!(m.log_time, e.log_time);
                h3 = h3.wrapping_add(fold(1, &m));
                n3 += 1;
            }
        }
    }
    assert_eq!((n, h), (n2, h2));
    for m in &s.metadata_indexes {
        mcap::read::metadata(map, m).unwrap();
    }
    println!("{{\"messages\":{n},\"hash\":\"{h:016x}\",\"sought\":{n3},\"sought_hash\":\"{h3:016x}\",\"metadata\":{}}}",
             s.metadata_indexes.len());
}

fn main() {
    let a: Vec<String> = std::env::args().skip(1).collect();
    if a[0] == "check" {
        return check(&a[1]);
    }
    if a[0] == "read" {
        let range = a.get(2).map(|f| (f.parse().unwrap(), a[3].parse().unwrap()));
        return read_all(&a[1], range);
    }
    let (n, mut s, mut c, out);
    if a[2] == "-" {
        let r = write_all(Nowhere { at: 0, end: 0 }, &a[1..]);
        (n, s, c, out) = (r.0, r.1, r.2, r.3.end);
    } else {
        let (t, c0) = (Instant::now(), cpu());
        let f = BufWriter::with_capacity(1 << 20, File::create(&a[2]).unwrap());
        let r = write_all(f, &a[1..]);
        let f = r.3.into_inner().unwrap();
        f.sync_all().unwrap();
        (n, s, c) = (r.0, r.1, r.2);
        out = f.metadata().unwrap().len();
        let _ = (s, c);
        s = t.elapsed().as_secs_f64();
        c = cpu() - c0;
    }
    println!("{{\"messages\":{n},\"out\":{out},\"seconds\":{s},\"cpu\":{c}}}");
}
