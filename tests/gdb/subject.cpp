// A program for gdb_test.py to look into: `subject SERVICE`. It stops in stop_here() in a callback on a
// worker, while one message is leased, and one is with the worker.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>
#include <utility>

#include <cpgring/cpgring.hpp>

/// gdb_test.py sets a breakpoint on it.
extern "C" [[gnu::noinline]] void stop_here() { std::puts("here"); }

int main(int argc, char** argv) {
  if (argc != 2) {
    return 64;
  }
  cpgring::engine_options shape;
  shape.workers = 1;
  cpgring::engine engine(shape);
  std::atomic<bool> over{false};
  const auto give_up = [&](const cpgring::error& why) {
    std::fprintf(stderr, "%s\n", why.message().c_str());
    engine.stop();
  };
  cpgring::lease kept;
  cpgring::callbacks calls;
  calls.on_state = [&](cpgring::handle& h, const cpgring::state_change& s) {
    if (s.to == cpgring::handle_state::joined) {
      if (auto sent = h.multicast("a message to keep"); !sent) {
        give_up(sent.error());
      }
    } else if (s.cause != nullptr) {
      give_up(*s.cause);
    }
  };
  calls.on_message = [&](cpgring::handle&, const cpgring::message& m) {
    if (!kept) {
      if (auto lease = m.retain()) {
        kept = std::move(*lease);
      }
      return;
    }
    stop_here();
    engine.stop();
  };
  cpgring::handle_options options;
  options.service = argv[1];
  options.group = "looked-at";
  options.lease_age_max = std::chrono::hours(1);  // so that the lease stays in the ring
  auto opened = engine.open(options, std::move(calls));
  cpgring::handle_options idle = options;
  idle.group.clear();
  auto other = engine.open(idle, cpgring::callbacks());
  if (!opened || !other) {
    give_up(!opened ? opened.error() : other.error());
    return 1;
  }
  // The second message follows once the reactor knows the lease, and the other handle is connected.
  std::thread sender([&] {
    while (!over.load() && (opened->stats().messages == 0 || opened->stats().leases == 0 ||
                            other->state() != cpgring::handle_state::ready)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    if (auto sent = opened->multicast("a message to stop at"); !sent) {
      std::fprintf(stderr, "%s\n", sent.error().message().c_str());
    }
  });
  const auto ran = engine.run();
  over.store(true);
  sender.join();
  return ran ? 0 : 1;
}
