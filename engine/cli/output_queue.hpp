// Standard output behind a thread of its own: whoever adds never waits for the reader.
//
// What waits is bounded. Lines for standard error take the same way, so that both keep their order where they end in the same place.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

namespace cpgring::cli {

class output_queue {
 public:
  /// `out` is duplicated, so its owner may close it while a write to it hangs; `err` stays open as long as the process lives. `most`: bytes
  /// that may wait. Throws std::system_error: no thread, or no descriptor.
  output_queue(int out, int err, std::size_t most);
  /// Waits for nothing: what has not been written is given up. See finish().
  ~output_queue();
  output_queue(const output_queue&) = delete;
  output_queue& operator=(const output_queue&) = delete;

  /// One message, for standard output. False: it would exceed what may wait, or standard output has failed; it is not added then. An empty
  /// queue takes a message of any size. Any thread.
  bool add(std::string_view message);
  /// One line for standard error, which may fail unseen.
  bool add_error(std::string_view line);
  /// Bytes that wait.
  [[nodiscard]] std::size_t waiting() const;
  /// The errno that ended writing to standard output, or 0.
  [[nodiscard]] int failure() const;
  /// Told to stop when standard output fails; on the writing thread.
  [[nodiscard]] std::stop_token broken() const;

  /// Waits until all has been written. False: standard output failed, or took nothing for `patience` (without one: waits as long as it
  /// takes).
  bool finish(std::optional<std::chrono::milliseconds> patience);

 private:
  struct chunk {
    int fd = -1;
    std::string bytes;
  };
  struct state {  // outlives the queue where a write never returns
    state(int o, int e, std::size_t m) : out(o), err(e), most(m) {}
    ~state();
    state(const state&) = delete;
    state& operator=(const state&) = delete;
    const int out;  // its own
    const int err;
    const std::size_t most;
    mutable std::mutex lock;
    std::condition_variable changed;
    std::deque<chunk> chunks;
    std::size_t waiting = 0;
    std::uint64_t written = 0;
    int failure = 0;
    bool ending = false;
    std::stop_source broken;
  };
  static void run(const std::shared_ptr<state>& keep);
  static void write_chunk(state& s, const chunk& one);
  bool add_to(int fd, std::string_view bytes);

  const std::shared_ptr<state> state_;
};

}  // namespace cpgring::cli
