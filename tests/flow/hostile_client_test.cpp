// A hostile client of the embedded service harms neither the service nor other clients.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <set>

#include "base/checked_read.hpp"
#include "base/owned.hpp"
#include "support/raw_connection.hpp"
#include "support/raw_requests.hpp"
#include "support/world.hpp"

namespace cpgring::test {
namespace {

namespace wire = cpg::wire;

std::int32_t status_of(const std::vector<std::byte>& answer) {
  return answer.size() < wire::response_header_bytes
             ? 0
             : base::read_once_i32(answer.data() + wire::header_error);
}

/// A connected socket that has sent nothing.
base::unique_fd connect_only(const std::string& service) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, service.data(), service.size());
  base::unique_fd made(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(::connect(made.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0)
      << std::strerror(errno);
  return made;
}

bool has_hung_up(int fd) {
  pollfd p{fd, POLLIN, 0};
  return ::poll(&p, 1, 0) == 1;
}

/// Open descriptors of this process.
std::size_t descriptors() {
  std::size_t count = 0;
  for (int fd = 0; fd < 4096; ++fd) {
    count += ::fcntl(fd, F_GETFD) >= 0 ? 1U : 0U;
  }
  return count;
}

class hostile_client : public ::testing::Test {
 protected:
  /// Opens a well-behaved member beside the hostile client.
  void SetUp() override {
    auto options = w.options("good");
    options.service = service.name();
    auto opened = w.loop().open(options, member.record());
    ASSERT_TRUE(opened);
    member.self = *opened;
    ASSERT_TRUE(w.until([&] { return member.is(handle_state::joined); }));
  }
  void the_member_is_served() {
    const auto before = member.messages.size();
    ASSERT_TRUE(member.self.multicast("still here"));
    ASSERT_TRUE(w.until([&] { return member.messages.size() > before; }));
  }
  void a_new_client_is_served() {
    witness fresh;
    auto options = w.options(world::fresh_group());
    options.service = service.name();
    auto opened = w.loop().open(options, fresh.record());
    ASSERT_TRUE(opened);
    ASSERT_TRUE(w.until([&] { return fresh.is(handle_state::joined) || fresh.is(handle_state::lost); }));
    EXPECT_TRUE(fresh.is(handle_state::joined)) << fresh.causes.back().message();
    opened->close();
    ASSERT_TRUE(w.until([&] { return fresh.is(handle_state::closed); }));
  }
  /// Returns the answer's status and the token of the iteration.
  static std::pair<std::int32_t, std::uint64_t> begin_iteration(ipc::connection& from, std::uint32_t type) {
    namespace w = wire::iteration_initialize_request;
    auto request = cpg::make_request(wire::request::iteration_initialize, w::bytes);
    std::memset(request.data() + w::name, 0xff, wire::name_bytes);  // stock libcpg may leave it uninitialised
    cpg::put(request.data() + w::type, type);
    const auto answer = ask_raw(from, request);
    return {status_of(answer),
            answer.size() < wire::iteration_initialize_response::bytes
                ? 0
                : base::read_once_u64(answer.data() + wire::iteration_initialize_response::handle)};
  }
  static std::int32_t with_token(ipc::connection& from, wire::request id, std::uint64_t token) {
    static_assert(wire::iteration_next_request::handle == wire::iteration_finalize_request::handle);
    auto request = cpg::make_request(id, wire::iteration_next_request::bytes);
    cpg::put(request.data() + wire::iteration_next_request::handle, token);
    return status_of(ask_raw(from, request));
  }

  embedded_service service;
  world w;
  witness member;
};

TEST_F(hostile_client, iterations_need_a_name_only_for_one_group) {
  auto client = raw_connect(service.name(), 65536);
  EXPECT_EQ(begin_iteration(client, 1).first, wire::status::ok);
  EXPECT_EQ(begin_iteration(client, 3).first, wire::status::ok);
  EXPECT_EQ(begin_iteration(client, wire::iteration_initialize_request::one_group).first,
            wire::status::name_too_long);
}

TEST_F(hostile_client, an_iteration_belongs_to_the_connection_that_began_it) {
  auto owner = raw_connect(service.name(), 65536), thief = raw_connect(service.name(), 65536);
  const auto [status, token] = begin_iteration(owner, 3);
  ASSERT_EQ(status, wire::status::ok);
  EXPECT_EQ(with_token(thief, wire::request::iteration_next, token), wire::status::library);
  EXPECT_EQ(with_token(thief, wire::request::iteration_finalize, token), wire::status::library);
  EXPECT_EQ(with_token(owner, wire::request::iteration_next, token), wire::status::ok);
  EXPECT_EQ(with_token(owner, wire::request::iteration_finalize, token), wire::status::ok);
}

TEST_F(hostile_client, the_iterations_of_one_client_are_limited) {
  auto client = raw_connect(service.name(), 65536);
  std::set<std::uint64_t> tokens;
  for (int i = 0; i < 64; ++i) {
    const auto [status, token] = begin_iteration(client, 3);
    ASSERT_EQ(status, wire::status::ok) << i;
    tokens.insert(token);
  }
  EXPECT_EQ(tokens.size(), 64U);
  EXPECT_EQ(begin_iteration(client, 3).first, wire::status::no_memory);
  auto other = raw_connect(service.name(), 65536);
  EXPECT_EQ(begin_iteration(other, 3).first, wire::status::ok);
  EXPECT_EQ(with_token(client, wire::request::iteration_finalize, *tokens.begin()), wire::status::ok);
  EXPECT_EQ(begin_iteration(client, 3).first, wire::status::ok);
}

TEST_F(hostile_client, unfinished_handshakes_use_few_descriptors_and_delay_nobody) {
  const std::size_t before = descriptors();
  std::vector<base::unique_fd> flood;
  for (int i = 0; i < 500; ++i) {
    flood.push_back(connect_only(service.name()));
  }
  the_member_is_served();
  a_new_client_is_served();
  // This process holds both ends of the flood's sockets.
  ASSERT_TRUE(eventually([&] { return descriptors() <= before + flood.size() + 128; }));
  EXPECT_TRUE(has_hung_up(flood.front().get()));
  // Connections that are still pending are closed at their deadline.
  ASSERT_TRUE(eventually([&] { return has_hung_up(flood.back().get()); }));
  EXPECT_TRUE(std::all_of(flood.begin(), flood.end(), [](const auto& fd) { return has_hung_up(fd.get()); }));
  the_member_is_served();
}

TEST_F(hostile_client, a_ring_above_the_largest_message_size_is_refused) {
  for (const std::uint32_t bytes :
       {ring_bytes_max + 1, std::uint32_t{256} << 20, std::uint32_t{1} << 31, ~std::uint32_t{0}}) {
    auto begun = ipc::handshake::begin(service.name(), bytes);
    ASSERT_TRUE(begun);
    result<ipc::handshake::step> step = begun->advance();
    while (step && *step != ipc::handshake::step::done) {
      pollfd readable{begun->fd(), POLLIN, 0};
      ::poll(&readable, 1, 1000);
      step = begun->advance();
    }
    ASSERT_FALSE(step) << bytes;
    the_member_is_served();
  }
  raw_connect(service.name(), ring_bytes_max);
}

TEST_F(hostile_client, a_client_that_stops_between_a_request_and_its_doorbell_delays_nobody) {
  auto client = raw_connect(service.name(), 65536);
  const auto ask = cpg::make_request(wire::request::local_get, wire::request_header_bytes);
  const auto stage = [&] {
    std::byte* const at = client.reserve(static_cast<std::uint32_t>(ask.size()));
    ASSERT_NE(at, nullptr);
    std::memcpy(at, ask.data(), ask.size());
    client.stage(static_cast<std::uint32_t>(ask.size()));
  };
  // Stages three requests whose doorbells go to another socket, then sends one byte.
  const base::unique_fd real(::fcntl(client.fd(), F_DUPFD_CLOEXEC, 0));
  int elsewhere[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, elsewhere), 0);
  const base::unique_fd one(elsewhere[0]), other(elsewhere[1]);
  ASSERT_GE(::dup3(one.get(), client.fd(), O_CLOEXEC), 0);
  for (int i = 0; i < 3; ++i) {
    stage();
  }
  ASSERT_TRUE(client.flush());
  ASSERT_GE(::dup3(real.get(), client.fd(), O_CLOEXEC), 0);
  const char bell = 0;
  ASSERT_EQ(::send(real.get(), &bell, 1, MSG_NOSIGNAL), 1);
  auto& answers = client.responses();
  ASSERT_TRUE(eventually([&] { return answers.collect() == 1; }));
  the_member_is_served();
  EXPECT_EQ(answers.collect(), 1U);
  for (std::uint32_t count = 2; count <= 3; ++count) {
    ASSERT_EQ(::send(real.get(), &bell, 1, MSG_NOSIGNAL), 1);
    ASSERT_TRUE(eventually([&] { return answers.collect() == count; }));
  }
  the_member_is_served();
}

TEST_F(hostile_client, a_truncated_zero_copy_file_fails_only_that_send) {
  auto client = raw_connect(service.name(), 65536);
  auto join = cpg::make_request(wire::request::join, wire::join_request::bytes);
  cpg::put_name(join.data() + wire::join_request::name, "zero copy");
  cpg::put(join.data() + wire::join_request::pid, std::uint32_t{7});
  ASSERT_EQ(status_of(ask_raw(client, join)), wire::status::ok);

  const std::string path = "/dev/shm/cpgring-" + world::fresh_group("zero-copy");
  const base::unique_fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  constexpr std::size_t bytes = 65536;
  ASSERT_EQ(::ftruncate(file.get(), bytes), 0);
  auto alloc = cpg::make_request(wire::request::zc_alloc, wire::zc_alloc_request::bytes);
  cpg::put(alloc.data() + wire::zc_alloc_request::map_size, std::uint64_t{bytes});
  std::memcpy(alloc.data() + wire::zc_alloc_request::path, path.c_str(), path.size() + 1);
  ASSERT_EQ(status_of(ask_raw(client, alloc)), wire::status::ok);
  std::uint64_t token = 0;
  ASSERT_EQ(::pread(file.get(), &token, sizeof token, 8), static_cast<ssize_t>(sizeof token));

  auto execute = cpg::make_request(wire::request::zc_execute, wire::zc_execute_request::bytes);
  cpg::put(execute.data() + wire::zc_execute_request::address, token);
  const std::uint32_t length = 40000;
  ASSERT_EQ(
      ::pwrite(file.get(), &length, sizeof length, static_cast<off_t>(16 + wire::multicast_request::length)),
      4);
  EXPECT_EQ(status_of(ask_raw(client, execute)), wire::status::ok);
  for (const off_t left : {off_t{1000}, off_t{0}}) {
    ASSERT_EQ(::ftruncate(file.get(), left), 0);
    EXPECT_EQ(status_of(ask_raw(client, execute)), wire::status::invalid_param);
    the_member_is_served();
  }
}

}  // namespace
}  // namespace cpgring::test
