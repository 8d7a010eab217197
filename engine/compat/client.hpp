// One handle of libcpg: a connection, its requests and its events. The C functions in libcpg.cpp are built on
// it.
//
// Any thread. Invariants: I1 one thread at a time writes requests and reads answers (requests_). I2 one
// thread at a time takes an event from the ring (turn_). I3 a thread that runs a callback holds no lock,
// nothing of the ring, and nothing on its stack that must be released: the callback may call anything, be
// cancelled, throw, or leave by longjmp(). I4 the socket is readable while there are events that were not yet
// handed out, and only briefly after that: bytes are read for events that were handed out.
#pragma once

#include <corosync/cpg.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include <cpgring/function.hpp>
#include <cpgring/result.hpp>

#include "base/clock.hpp"
#include "compat/expected_groups.hpp"
#include "compat/request_lock.hpp"
#include "compat/settings.hpp"
#include "compat/visits.hpp"
#include "cpg/codec.hpp"
#include "cpg/fragment_assembler.hpp"
#include "cpg/requests.hpp"
#include "cpg/wire_format.hpp"
#include "ipc/connection.hpp"

namespace cpgring::compat {

struct callback_set {
  cpg_deliver_fn_t deliver = nullptr;
  cpg_confchg_fn_t confchg = nullptr;
  cpg_totem_confchg_fn_t totem_confchg = nullptr;
  std::uint32_t flags = 0;
};

/// The largest message that is sent in one piece.
inline constexpr std::uint32_t atomic_max = static_cast<std::uint32_t>(cpg::wire::atomic_payload_max);

class client : public std::enable_shared_from_this<client> {
 public:
  /// Connects to the service "cpg", within the deadline.
  static result<std::shared_ptr<client>> open(const callback_set& calls, void* context);
  client(const callback_set& calls, void* context, ipc::connection connection);
  client(const client&) = delete;
  client& operator=(const client&) = delete;

  void set_number(cpg_handle_t number) noexcept { number_ = number; }
  [[nodiscard]] int fd() const noexcept { return connection_.fd(); }
  std::atomic<void*> context{nullptr};

  // --- requests: client_requests.cpp, client_messages.cpp, client_questions.cpp
  cs_error_t join(const cpg_name& group);
  cs_error_t leave(const cpg_name& group);
  cs_error_t multicast(std::span<const iovec> pieces);
  cs_error_t membership(const cpg_name& group, cpg_address* list, int& entries);
  cs_error_t local_node(unsigned int& node);
  cs_error_t begin_iteration(int type, const cpg_name* group, std::uint64_t& iteration);
  cs_error_t next_of_iteration(std::uint64_t iteration, cpg_iteration_description_t& out);
  cs_error_t end_iteration(std::uint64_t iteration);
  /// Ends the handle. Every thread that waits in dispatch() returns. May be called once.
  cs_error_t finalize();
  [[nodiscard]] bool finalized() const noexcept { return finalized_.load(std::memory_order_relaxed); }

  // --- zero-copy buffers; their content is copied when it is sent
  void* take_buffer(std::size_t size);
  bool give_buffer(void* buffer);
  /// CS_ERR_INVALID_PARAM: not a buffer of take_buffer(), or too small for `size`.
  cs_error_t multicast_buffer(void* buffer, std::size_t size);

  // --- events: client_dispatch.cpp
  /// `here` keeps this client alive.
  cs_error_t dispatch(int how, visit& here);

 private:
  enum class membership_state { none, joined, left };
  enum class taken { event, none, failed, no_memory };
  enum class next_step { take, done, wait };
  struct arrival;

  [[nodiscard]] std::optional<base::time_point> deadline() const noexcept;
  static bool over(const std::optional<base::time_point>& deadline) noexcept {
    return deadline && base::clock::now() >= *deadline;
  }
  cs_error_t wait_writable(const std::optional<base::time_point>& deadline);
  cs_error_t wait_room_for(std::size_t bytes, const std::optional<base::time_point>& deadline,
                           std::byte*& room);
  cs_error_t ask(std::size_t bytes, const function<void(std::byte*)>& fill,
                 const cpg::answer_format& expected, std::vector<std::byte>& answer);
  cs_error_t ask(const cpg::encoded_request& what, std::vector<std::byte>& answer);
  cs_error_t answer_to(const cpg::encoded_request& what, std::vector<std::byte>& answer);
  cs_error_t await(std::uint64_t token, const std::optional<base::time_point>& deadline,
                   std::vector<std::byte>& answer);
  cs_error_t ask_until_not_busy(const cpg::encoded_request& what);
  cs_error_t multicast_whole(std::span<const iovec> pieces, std::size_t total);
  cs_error_t multicast_in_fragments(std::span<const iovec> pieces, std::size_t total);
  bool post(const cpg::encoded_request& what);
  void drop_late_answers();
  cs_error_t members_of(const cpg_name& group, std::vector<cpg_address>& all);
  void poke();

  taken take(arrival& into, visit& here, bool one);
  next_step ring_is_empty(int how, bool any, bool readable);
  taken copy(const ipc::frame& from, arrival& into, visit& here);
  void copy_configuration(const cpg::configuration& c, arrival& into, visit& here);
  void copy_totem(const cpg::totem_configuration& t, arrival& into, visit& here);
  void copy_fragment(const cpg::fragment& piece, arrival& into, visit& here);
  void call(arrival& what) const;
  [[nodiscard]] bool anything_left();
  void reclaim(bool all);
  bool accepts_event(cpg::event_kind kind, const std::byte* data);
  void end();
  bool read_bytes();
  bool read_byte_ahead();
  [[nodiscard]] short wait(int wait_ms) const;

  const callback_set calls_;
  const settings& settings_;
  cpg_handle_t number_ = 0;
  ipc::connection connection_;
  std::atomic<bool> finalized_{false};

  request_lock requests_;
  std::atomic<membership_state> state_{membership_state::none};
  cpg_name joined_{};
  expected_groups expected_;
  std::uint64_t next_token_ = 1;
  std::unordered_map<void*, std::vector<std::byte>> buffers_;

  std::mutex turn_;
  cpg_name group_{};            // the group of the events that arrive
  bool ended_ = false;          // the service sent invalid data: nothing more is read from it
  ipc::frame leased_;           // a taken event that there was no memory for; tried again
  std::uint32_t finished_ = 0;  // chunks that have been copied, but not given back
  std::uint32_t finished_bytes_ = 0;
  std::int64_t unread_doorbells_ = 0;  // events taken minus doorbell bytes read
  bool at_end_ = false;                // of the byte stream
  cpg::event decoded_;
  cpg::fragment_assembler fragments_{UINT32_MAX, UINT32_MAX};
};

}  // namespace cpgring::compat
