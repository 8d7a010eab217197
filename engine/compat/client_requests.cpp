// Requests of a handle. Each call waits for its answer until the deadline. An answer that arrives later, or
// that a cancelled thread has not read, is dropped by the next call. The callers have disabled cancellation;
// see cancellation.hpp.
#include <poll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "compat/cancellation.hpp"
#include "compat/client.hpp"
#include "compat/codes.hpp"
#include "cpg/requests.hpp"
#include "ipc/answer_wait.hpp"
#include "ipc/handshake.hpp"

namespace cpgring::compat {
namespace {

namespace w = cpg::wire;
using std::chrono::milliseconds;

// The same as stock libcpg's: the largest event that any sender can make fits.
constexpr std::uint32_t ring_bytes = 1048576;
constexpr std::uint64_t discarded_token = 0;
// A dead service posts nothing. Its death is detected within this time.
constexpr milliseconds socket_check_interval{50};
// A join or leave of this handle that is still in progress makes the service answer BUSY. It completes within
// one round of the token, or never.
constexpr milliseconds busy_timeout{2000};

}  // namespace

// --- opening

result<std::shared_ptr<client>> client::open(const callback_set& calls, void* context) {
  const settings& s = settings_of_process();
  if (!s.valid) {
    return fail(
        errc::invalid_param,
        "CPGRING_LIBCPG_DEADLINE_MS, _SERVICE_UID or _STOCK has a value that docs/libcpg.md does not list");
  }
  auto begun = ipc::handshake::begin("cpg", ring_bytes, false, s.service_uid);
  if (!begun) {
    return fail(begun.error());
  }
  const auto until = base::clock::now() + s.deadline;
  for (;;) {
    auto step = begun->advance();
    if (!step) {
      return fail(step.error());
    }
    if (*step == ipc::handshake::step::done) {
      break;
    }
    if (s.deadline.count() != 0 && base::clock::now() >= until) {
      return fail(errc::timeout);
    }
    if (*step == ipc::handshake::step::retry_connect) {
      pause_for(milliseconds(1));
      continue;
    }
    pollfd readable{begun->fd(), POLLIN, 0};
    const auto left = std::chrono::duration_cast<milliseconds>(until - base::clock::now()).count();
    cancellably([&] {
      ::poll(&readable, 1, s.deadline.count() == 0 ? -1 : static_cast<int>(std::max<std::int64_t>(left, 0)));
    });
  }
  auto connection = begun->finish();
  if (!connection) {
    return fail(connection.error());
  }
  return std::make_shared<client>(calls, context, std::move(*connection));
}

client::client(const callback_set& calls, void* context_of_user, ipc::connection connection)
    : context(context_of_user),
      calls_(calls),
      settings_(settings_of_process()),
      connection_(std::move(connection)) {}

// --- one request and its answer

std::optional<base::time_point> client::deadline() const noexcept {
  return settings_.deadline.count() == 0 ? std::nullopt
                                         : std::optional(base::clock::now() + settings_.deadline);
}

/// Waits until requests may be written. While the service holds its clients back nothing is written, because
/// an unread doorbell byte would make a stock daemon spin.
cs_error_t client::wait_writable(const std::optional<base::time_point>& until) {
  for (auto pause = std::chrono::microseconds(50);;) {
    switch (connection_.writable()) {
      case ipc::writable::yes:
      case ipc::writable::ring_full: return CS_OK;
      case ipc::writable::hung_up: return CS_ERR_LIBRARY;
      case ipc::writable::flow_control:
      case ipc::writable::outstanding: break;
    }
    if (connection_.hung_up()) {
      return CS_ERR_LIBRARY;
    }
    if (over(until)) {
      return CS_ERR_TIMEOUT;
    }
    pause_for(pause);
    pause = std::min(pause * 2, std::chrono::microseconds(2000));
  }
}

cs_error_t client::wait_room_for(std::size_t bytes, const std::optional<base::time_point>& until,
                                 std::byte*& room) {
  for (;;) {
    if (const cs_error_t e = wait_writable(until); e != CS_OK) {
      return e;
    }
    room = connection_.reserve(static_cast<std::uint32_t>(bytes));
    if (room != nullptr) {
      return CS_OK;
    }
    if (over(until)) {
      return CS_ERR_TIMEOUT;
    }
    pause_for(std::chrono::microseconds(100));
  }
}

/// The caller holds requests_. `fill` writes the request into its room. The caller must check the status in
/// the answer.
cs_error_t client::ask(std::size_t bytes, const function<void(std::byte*)>& fill,
                       const cpg::answer_format& expected, std::vector<std::byte>& answer) {
  const auto until = deadline();
  drop_late_answers();
  if (!connection_.answers().room_for(expected.size)) {
    // Late answers that no thread waits for are still to come.
    return CS_ERR_TRY_AGAIN;
  }
  std::byte* room = nullptr;
  if (const cs_error_t e = wait_room_for(bytes, until, room); e != CS_OK) {
    return e;
  }
  fill(room);
  connection_.stage(static_cast<std::uint32_t>(bytes));
  const std::uint64_t token = next_token_++;
  connection_.answers().expect(static_cast<std::uint32_t>(expected.id), expected.size, token);
  if (auto sent = connection_.flush(); !sent) {
    return code_of(sent.error());
  }
  const cs_error_t e = await(token, until, answer);
  // An answer that is only a header must be an error. It was classified in memory that the service can still
  // change, so the copied status is checked here.
  return e == CS_OK && answer.size() < expected.size && status_in(answer) == CS_OK ? CS_ERR_LIBRARY : e;
}

/// The caller holds requests_.
cs_error_t client::ask(const cpg::encoded_request& what, std::vector<std::byte>& answer) {
  const auto bytes = what.bytes();
  return ask(
      bytes.size(), [bytes](std::byte* room) { std::memcpy(room, bytes.data(), bytes.size()); },
      what.answer(), answer);
}

/// The caller holds requests_. Sends a request whose answer the next call drops. False: it can't be written
/// now.
bool client::post(const cpg::encoded_request& what) {
  drop_late_answers();
  if (connection_.writable() != ipc::writable::yes || !connection_.answers().room_for(what.answer().size)) {
    return false;
  }
  const auto bytes = what.bytes();
  std::byte* const room = connection_.reserve(static_cast<std::uint32_t>(bytes.size()));
  if (room == nullptr) {
    return false;
  }
  std::memcpy(room, bytes.data(), bytes.size());
  connection_.stage(static_cast<std::uint32_t>(bytes.size()));
  connection_.answers().expect(static_cast<std::uint32_t>(what.answer().id), what.answer().size,
                               discarded_token);
  return connection_.flush().has_value();
}

/// Sends a request and waits for its whole answer. An error status in the answer is returned as an error.
cs_error_t client::answer_to(const cpg::encoded_request& what, std::vector<std::byte>& answer) {
  const std::lock_guard lock(requests_);
  if (finalized()) {
    return CS_ERR_BAD_HANDLE;
  }
  const cs_error_t e = ask(what, answer);
  return e == CS_OK ? status_in(answer) : e;
}

cs_error_t client::await(std::uint64_t token, const std::optional<base::time_point>& until,
                         std::vector<std::byte>& answer) {
  auto& answers = connection_.answers();
  for (;;) {
    ipc::answer one;
    switch (answers.next(one)) {
      case ipc::read_result::broken: return CS_ERR_LIBRARY;
      case ipc::read_result::frame:
        if (one.token == token) {
          answer.assign(one.bytes.data, one.bytes.data + one.bytes.size);
          return CS_OK;
        }
        continue;
      case ipc::read_result::empty: break;
    }
    if (connection_.must_flush()) {
      if (auto sent = connection_.flush(); !sent) {
        return code_of(sent.error());
      }
    }
    base::nanoseconds longest = socket_check_interval;
    if (until) {
      longest = std::min(longest, std::max(base::nanoseconds(0), *until - base::clock::now()));
    }
    cancellably([&] { ipc::wait_for_count(connection_.responses(), longest); });
    if (connection_.responses().waiting() == 0) {
      if (connection_.hung_up() && connection_.responses().waiting() == 0) {
        return CS_ERR_LIBRARY;
      }
      if (over(until)) {
        return CS_ERR_TIMEOUT;
      }
    }
  }
}

void client::drop_late_answers() {
  ipc::answer one;
  while (connection_.answers().expecting() != 0 &&
         connection_.answers().next(one) == ipc::read_result::frame) {
  }
}

/// Makes the service look at its queue. An idle service that found the event ring full does so only every 50
/// ms, unless a request arrives.
void client::poke() {
  const uncancelled off;
  const std::unique_lock lock(requests_, std::try_to_lock);
  if (!lock || finalized()) {
    return;  // another thread's request has the same effect
  }
  static_cast<void>(post(cpg::encode_local_get()));
}

cs_error_t client::ask_until_not_busy(const cpg::encoded_request& what) {
  const auto end = base::clock::now() + busy_timeout;
  for (auto pause = milliseconds(1);; pause = std::min(pause * 2, milliseconds(50))) {
    std::vector<std::byte> answer;
    if (const cs_error_t e = ask(what, answer); e != CS_OK) {
      return e;
    }
    const cs_error_t said = status_in(answer);
    if (said != CS_ERR_BUSY || base::clock::now() >= end ||
        state_.load(std::memory_order_relaxed) == membership_state::left) {
      return said;
    }
    pause_for(pause);
  }
}

// --- groups

cs_error_t client::join(const cpg_name& group) {
  if (group.length > CPG_MAX_NAME_LENGTH) {
    return CS_ERR_NAME_TOO_LONG;
  }
  if (group.length == 0) {
    return CS_ERR_INVALID_PARAM;  // a stock service could never remove such a member
  }
  const std::lock_guard lock(requests_);
  if (finalized()) {
    return CS_ERR_BAD_HANDLE;
  }
  expected_.add(group);  // before its first event can arrive
  const cs_error_t said = ask_until_not_busy(
      cpg::encode_join(text_of(group), static_cast<std::uint32_t>(::getpid()), calls_.flags));
  if (said == CS_OK) {
    joined_ = group;
    state_.store(membership_state::joined, std::memory_order_relaxed);
  } else if (said != CS_ERR_TIMEOUT && said != CS_ERR_LIBRARY) {
    expected_.drop_last();
  }
  return said;
}

cs_error_t client::leave(const cpg_name& group) {
  if (group.length > CPG_MAX_NAME_LENGTH) {
    return CS_ERR_NAME_TOO_LONG;
  }
  const std::lock_guard lock(requests_);
  if (finalized()) {
    return CS_ERR_BAD_HANDLE;
  }
  // The service accepts any name, even that of another group, and the member then leaves neither.
  // cpg_leave(3) says that the name is ignored.
  const bool joined = state_.load(std::memory_order_relaxed) == membership_state::joined;
  const cpg_name& named = joined && joined_.length != 0 && !settings_.leaves_by_name ? joined_ : group;
  const cs_error_t said =
      ask_until_not_busy(cpg::encode_leave(text_of(named), static_cast<std::uint32_t>(::getpid())));
  if (said == CS_OK) {
    state_.store(membership_state::left, std::memory_order_relaxed);
  }
  return said;
}

// --- finalizing

cs_error_t client::finalize() {
  struct finalize_guard {  // runs even if the thread is cancelled
    client& self;
    ~finalize_guard() {
      self.finalized_.store(true, std::memory_order_relaxed);
      self.connection_.remove_files_of_dead_service();
      // Wakes the threads in dispatch(). The service removes this member at once.
      self.connection_.hang_up();
    }
  } const guard{*this};
  std::vector<std::byte> answer;
  const std::lock_guard lock(requests_);
  // The answer means that the service has taken everything that was multicast before.
  const cs_error_t outcome = ask(cpg::encode_finalize(), answer);
  finalized_.store(true, std::memory_order_relaxed);
  return outcome == CS_OK ? status_in(answer) : outcome;
}

}  // namespace cpgring::compat
