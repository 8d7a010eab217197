// Writes standard output on a separate thread, so that no caller waits for the reader.
//
// The number of waiting bytes is bounded. Lines for standard error use the same queue, so both keep their
// order if they end in the same place.
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
  /// `out` is duplicated, so its owner may close it while a write to it hangs. `err` must stay open while the
  /// process lives. `most`: the maximum number of waiting bytes. Throws std::system_error: no thread, or no
  /// descriptor.
  output_queue(int out, int err, std::size_t most);
  /// Waits for nothing: what has not been written is dropped. See finish().
  ~output_queue();
  output_queue(const output_queue&) = delete;
  output_queue& operator=(const output_queue&) = delete;

  /// Adds one message for standard output. False: not added, because it would exceed the limit or because
  /// standard output has failed. An empty queue takes a message of any size. Any thread.
  bool add(std::string_view message);
  /// Adds one line for standard error. A failure of standard error is ignored.
  bool add_error(std::string_view line);
  /// Number of waiting bytes.
  [[nodiscard]] std::size_t waiting() const;
  /// The errno of the failed write to standard output, or 0.
  [[nodiscard]] int failure() const;
  /// A stop is requested, on the writing thread, when standard output fails.
  [[nodiscard]] std::stop_token broken() const;

  /// Waits until everything is written. False: standard output failed, or accepted nothing for `patience`
  /// (nullopt: waits without limit).
  bool finish(std::optional<std::chrono::milliseconds> patience);

 private:
  struct chunk {
    int fd = -1;
    std::string bytes;
  };
  struct state {  // outlives the queue if a write never returns
    state(int o, int e, std::size_t m) : out(o), err(e), most(m) {}
    ~state();
    state(const state&) = delete;
    state& operator=(const state&) = delete;
    const int out;  // owned
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
