// A delayed doorbell seen by libqb's own client: the events are in the ring, all bytes arrive later.
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <memory>
#include <utility>

#include <gtest/gtest.h>
#include <qb/qbipcc.h>
#include <cpgring/service.hpp>

#include "cpg/wire_format.hpp"
#include "service/events.hpp"
#include "service/late_doorbell.hpp"

namespace cpgring::service {
namespace {

constexpr int patience_ms = 60000;

bool readable(int fd, int wait_ms) {
  pollfd p{fd, POLLIN, 0};
  return ::poll(&p, 1, wait_ms) == 1 && (p.revents & POLLIN) != 0;
}

TEST(full_socket, replaces_a_socket_temporarily) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
  const base::unique_fd near(ends[0]), far(ends[1]);
  const base::unique_fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event e{};
  e.events = EPOLLIN;
  ASSERT_EQ(::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, near.get(), &e), 0);
  const full_socket full;
  for (int round = 0; round < 3; ++round) {
    {
      const full_socket::instead_of held(full, near.get());
      ASSERT_TRUE(held);
      EXPECT_EQ(::send(near.get(), "x", 1, MSG_NOSIGNAL), -1);
      EXPECT_EQ(errno, EAGAIN);
    }
    EXPECT_FALSE(readable(far.get(), 0));
    EXPECT_EQ(::send(near.get(), "x", 1, MSG_NOSIGNAL), 1);
    char byte = 0;
    EXPECT_EQ(::recv(far.get(), &byte, 1, 0), 1);
    EXPECT_EQ(::recv(far.get(), &byte, 1, 0), -1) << "one byte, not two";
    // The epoll registration survives and can be modified.
    EXPECT_EQ(::send(far.get(), "y", 1, MSG_NOSIGNAL), 1);
    EXPECT_EQ(::epoll_wait(epoll.get(), &e, 1, patience_ms), 1);
    EXPECT_EQ(::recv(near.get(), &byte, 1, 0), 1);
    EXPECT_EQ(::epoll_ctl(epoll.get(), EPOLL_CTL_MOD, near.get(), &e), 0);
  }
  EXPECT_NE(::fcntl(near.get(), F_GETFD) & FD_CLOEXEC, 0);
}

/// libqb's own client, joined to a group.
class member_on_libqb {
 public:
  explicit member_on_libqb(const embedded_service& service)
      : connection_(::qb_ipcc_connect(service.name().c_str(), 65536)) {
    if (connection_ == nullptr) {
      return;
    }
    ::qb_ipcc_fd_get(connection_, &fd_);
    namespace w = wire::join_request;
    std::array<std::byte, w::bytes> request{};
    put(request.data() + wire::header_id, static_cast<std::int32_t>(wire::request::join));
    put(request.data() + wire::header_size, static_cast<std::int32_t>(request.size()));
    put_name(request.data() + w::name, "late");
    put(request.data() + w::pid, 77U);
    put(request.data() + w::flags, w::flag_initial_totem_configuration);
    const iovec part{request.data(), request.size()};
    std::array<std::byte, wire::response_header_bytes> answer{};
    joined_ = ::qb_ipcc_sendv_recv(connection_, &part, 1, answer.data(), answer.size(), patience_ms) ==
              static_cast<ssize_t>(answer.size());
  }
  ~member_on_libqb() {
    if (connection_ != nullptr) {
      ::qb_ipcc_disconnect(connection_);
    }
  }
  member_on_libqb(const member_on_libqb&) = delete;
  member_on_libqb& operator=(const member_on_libqb&) = delete;

  [[nodiscard]] bool joined() const { return joined_; }
  [[nodiscard]] bool bell(int wait_ms) const { return readable(fd_, wait_ms); }
  /// Reads the next event and its byte; returns its id, or a negative value without an event.
  std::int32_t next_event() {
    std::array<std::byte, 4096> event{};
    if (::qb_ipcc_event_recv(connection_, event.data(), event.size(), 0) < 0) {
      return -1;
    }
    std::int32_t id = -1;
    std::memcpy(&id, event.data() + wire::header_id, sizeof id);
    return id;
  }

 private:
  qb_ipcc_connection_t* connection_;
  std::int32_t fd_ = -1;
  bool joined_ = false;
};

/// Delays every doorbell.
class late_bells final : public service_interceptor {
 public:
  explicit late_bells(std::chrono::milliseconds late) : late_(late) {}

  result<void> attached(std::shared_ptr<service_controls> controls) override {
    controls_ = std::move(controls);
    return {};
  }
  event_delivery before_event(const service_client&, const service_event&) override {
    ++held_;
    return {.instead = {}, .doorbell_after = late_};
  }
  /// Releases all delayed doorbells; later ones are not delayed.
  result<void> end() {
    return controls_->run([this] {
      late_ = {};
      controls_->release_doorbells();
    });
  }
  [[nodiscard]] int held() const noexcept { return held_; }

 private:
  std::chrono::milliseconds late_;
  std::atomic<int> held_{0};
  std::shared_ptr<service_controls> controls_;
};

/// The longest allowed delay: no doorbell is released by time during a test.
std::shared_ptr<late_bells> never_in_time() {
  return std::make_shared<late_bells>(std::chrono::milliseconds(60000));
}

embedded_service_options with(std::shared_ptr<service_interceptor> interceptor) {
  embedded_service_options o;
  o.interceptor = std::move(interceptor);
  return o;
}

TEST(late_doorbell, keeps_the_socket_silent_while_events_are_in_the_ring) {
  const auto bells = never_in_time();
  embedded_service service(with(bells));
  member_on_libqb late(service);
  ASSERT_TRUE(late.joined());
  // The service handles this join after those events. The join adds no member: node and pid are known.
  member_on_libqb also(service);
  ASSERT_TRUE(also.joined());
  EXPECT_EQ(service.stats().events, 2U);
  EXPECT_EQ(service.stats().events_queued, 0U);
  EXPECT_EQ(bells->held(), 2);
  EXPECT_FALSE(late.bell(0));
  ASSERT_TRUE(bells->end());
  EXPECT_TRUE(late.bell(patience_ms));
  EXPECT_EQ(late.next_event(), static_cast<std::int32_t>(wire::event::configuration));
  EXPECT_EQ(late.next_event(), static_cast<std::int32_t>(wire::event::totem_configuration));
  EXPECT_FALSE(late.bell(0)) << "one byte for each event";
}

TEST(late_doorbell, is_sent_after_its_delay) {
  embedded_service service(with(std::make_shared<late_bells>(std::chrono::milliseconds(30))));
  member_on_libqb late(service);
  ASSERT_TRUE(late.joined());
  EXPECT_TRUE(late.bell(patience_ms));
  EXPECT_EQ(late.next_event(), static_cast<std::int32_t>(wire::event::configuration));
  EXPECT_TRUE(late.bell(patience_ms));
  EXPECT_EQ(late.next_event(), static_cast<std::int32_t>(wire::event::totem_configuration));
  EXPECT_FALSE(late.bell(0));
}

TEST(late_doorbell, of_a_closed_client_does_not_disturb_others) {
  const auto bells = never_in_time();
  embedded_service service(with(bells));
  for (int i = 0; i < 5; ++i) {
    const member_on_libqb one(service);
    ASSERT_TRUE(one.joined());
  }
  ASSERT_TRUE(bells->end());
  member_on_libqb last(service);
  ASSERT_TRUE(last.joined());
  EXPECT_TRUE(last.bell(patience_ms));
}

}  // namespace
}  // namespace cpgring::service
