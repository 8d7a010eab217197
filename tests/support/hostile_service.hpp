// A CPG service of a test's own, on a thread: it serves as an honest one does, but for what the test makes of a request or of an event, and
// it writes down what it was asked. Each of its clients is alone in its group.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/owned.hpp"
#include "cpg/wire_format.hpp"

namespace cpgring::test {

// Events as bytes.
std::vector<std::byte> message_event(std::string_view group, std::uint32_t pid, std::string_view payload);
std::vector<std::byte> fragment_event(std::string_view group, std::uint32_t pid, std::uint32_t total, cpg::wire::fragment_type type,
                                      std::string_view payload);
/// `pid` joins (or leaves) and is alone.
std::vector<std::byte> view_event(std::string_view group, std::uint32_t pid, bool joins = true);
/// An answer of `size` bytes, zeroes behind its header.
std::vector<std::byte> answer_of(cpg::wire::response id, std::size_t size, std::int32_t error = cpg::wire::status::ok);

class hostile_service {
 public:
  using bytes = std::span<const std::byte>;

  /// One connection; on the service's thread.
  class client {
   public:
    virtual ~client() = default;
    virtual void answer(bytes whole) = 0;
    /// Waits for room, as long as the client is there.
    virtual void send(bytes event) = 0;
    virtual void hang_up() = 0;
    std::string group;
    std::uint32_t pid = 0;
  };
  /// Called ahead of the honest answer; true: it has dealt with the request itself.
  using meddler = std::function<bool(client&, cpg::wire::request, bytes)>;
  struct row {
    std::string group;
    std::uint32_t node, pid;
  };

  explicit hostile_service(meddler meddle = {}, std::string name = {});
  hostile_service(const hostile_service&) = delete;
  hostile_service& operator=(const hostile_service&) = delete;
  ~hostile_service();

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// Who is listed to whoever asks; before the first client.
  void list(std::vector<row> rows) { rows_ = std::move(rows); }
  /// Ids of requests, in order.
  [[nodiscard]] std::vector<cpg::wire::request> requests() const;
  [[nodiscard]] std::size_t asked(cpg::wire::request id) const;
  /// Who has connected, with a handshake or without.
  [[nodiscard]] std::size_t connects() const noexcept { return connects_.load(std::memory_order_relaxed); }
  /// Iterations that are open, and the most that were at a time.
  [[nodiscard]] std::size_t iterations() const noexcept { return iterations_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::size_t iterations_most() const noexcept { return iterations_most_.load(std::memory_order_relaxed); }
  /// Runs `what` on the service's thread for each client that is in `group` (or was), and waits for it; how many there were.
  std::size_t with(std::string_view group, const std::function<void(client&)>& what);
  /// The same for more than a ring holds: without waiting, so that the caller can take it.
  void post(std::string_view group, std::function<void(client&)> what);
  /// As an honest service handles it.
  void serve(client& from, cpg::wire::request id, bytes request);

 private:
  class connection;
  void call(std::function<void()> what);
  std::size_t each_in(std::string_view group, const std::function<void(client&)>& what);
  void run();
  void turn();
  void accept();
  void begin_iteration(client& from, bytes request);
  void next_of_iteration(client& from, bytes request);
  void end_iteration(client& from, bytes request);

  const meddler meddle_;
  const std::string name_;
  base::unique_fd listener_, wake_;
  std::vector<row> rows_;
  std::vector<std::unique_ptr<connection>> clients_;  // the thread's
  std::vector<std::pair<std::vector<row>, std::size_t>> walks_;
  std::atomic<std::size_t> iterations_{0}, iterations_most_{0}, connects_{0};
  mutable std::mutex lock_;  // for what follows
  std::vector<cpg::wire::request> requests_;
  std::vector<std::function<void()>> calls_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace cpgring::test
