// Requests on one connection: their order, doorbells and answers.
#include "cpg/request_line.hpp"

#include <algorithm>
#include <map>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "unit/cpg/session_parts.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::cpg;
using namespace cpgring::cpg::test;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

/// A stand-in for the multicaster: a list of waiting multicasts.
struct waiting_multicasts {
  struct one {
    std::uint64_t position;
    std::string text;
  };
  explicit waiting_multicasts(request_line& through) : line(through) {}

  void push(std::string text) {
    all.push_back({++last, std::move(text)});
    line.multicasts_wait_up_to(last);
  }
  [[nodiscard]] std::uint64_t front_position() const {
    return all.empty() ? request_line::nowhere : all.front().position;
  }
  [[nodiscard]] std::size_t front_bytes() const { return all.front().text.size(); }
  bool write_front() {
    const std::string& text = all.front().text;
    std::byte* const at = line.room(wire::multicast_request::data + text.size());
    if (at == nullptr) {
      return false;
    }
    put_multicast_header(at, text.size());
    std::memcpy(at + wire::multicast_request::data, text.data(), text.size());
    line.stage(wire::multicast_request::data + text.size());
    all.pop_front();
    return true;
  }

  request_line& line;
  std::deque<one> all;
  std::uint64_t last = 0;
};

struct request_lines : ::testing::Test {
  answer_function note(std::string name) {
    return [this, name = std::move(name)](const result<answer_bytes>& answer) {
      outcomes.push_back(name + (answer                            ? " answered"
                                 : answer.error() == errc::timeout ? " timed out"
                                                                   : " failed"));
    };
  }
  void control(const std::string& name, base::time_point deadline = never) {
    line.ask(encode_leave(name, 1), deadline, note(name));
  }
  void question(const std::string& name, base::time_point deadline = never, bool with_late = false) {
    line.ask_question(encode_iteration_begin(2, name), deadline, note(name),
                      with_late ? note(name + " late") : answer_function());
  }
  void write() { ASSERT_TRUE(line.write(multicasts)); }
  void take_answers() { ASSERT_TRUE(line.take_answers()); }

  in_process_service service;
  request_line line;
  waiting_multicasts multicasts{line};
  std::vector<std::string> outcomes;

  void SetUp() override { line.attach(service.connect_owned()); }
};

TEST_F(request_lines, keep_control_requests_and_multicasts_in_the_order_of_the_calls) {
  service.set_flow_control(2);
  multicasts.push("1");
  control("2");
  multicasts.push("3");
  multicasts.push("4");
  control("5");
  control("6");
  multicasts.push("7");
  write();
  EXPECT_THAT(describe_all(service), IsEmpty()) << "flow control is on";
  service.set_flow_control(0);
  write();
  EXPECT_THAT(describe_all(service), ElementsAre("multicast 1", "leave 2", "multicast 3", "multicast 4",
                                                 "leave 5", "leave 6", "multicast 7"));
}

TEST_F(request_lines, write_questions_after_earlier_requests_without_delaying_later_ones) {
  service.set_flow_control(2);
  multicasts.push("1");
  question("q1");
  control("2");
  question("q2");
  multicasts.push("3");
  write();
  service.set_flow_control(0);
  write();
  const auto order = describe_all(service);
  ASSERT_THAT(order, SizeIs(5));
  const auto place = [&](const std::string& what) {
    return std::find(order.begin(), order.end(), what) - order.begin();
  };
  EXPECT_LT(place("multicast 1"), place("begin q1"));
  EXPECT_LT(place("leave 2"), place("begin q2"));
  EXPECT_LT(place("begin q1"), place("begin q2"));
  EXPECT_LT(place("multicast 1"), place("leave 2"));
  EXPECT_LT(place("leave 2"), place("multicast 3"));
}

TEST_F(request_lines, have_at_most_questions_sent_max_outstanding) {
  for (int i = 0; i < 20; ++i) {
    question(std::to_string(i));
  }
  write();
  EXPECT_THAT(describe_all(service), SizeIs(request_line::questions_sent_max));
  EXPECT_FALSE(line.questions_blocked()) << "an answer, not writability, lets them continue";
  answer_iteration(service, 1);
  answer_iteration(service, 2);
  take_answers();
  write();
  EXPECT_THAT(describe_all(service), ElementsAre("begin 8", "begin 9"));
  EXPECT_THAT(outcomes, ElementsAre("0 answered", "1 answered"));
}

TEST_F(request_lines, ring_once_for_all_corked_requests) {
  line.cork();
  for (int i = 0; i < 10; ++i) {
    control(std::to_string(i));
  }
  write();
  EXPECT_EQ(service.requests_waiting(), 0U);
  EXPECT_EQ(service.take_doorbells(), 0U);
  line.cork();
  ASSERT_TRUE(line.uncork());
  EXPECT_EQ(service.requests_waiting(), 0U) << "corked twice";
  ASSERT_TRUE(line.uncork());
  EXPECT_EQ(service.requests_waiting(), 10U);
  EXPECT_EQ(service.take_doorbells(), 10U) << "one byte for each request";
  EXPECT_EQ(line.doorbells(), 1U) << "and one send for all of them";
}

TEST_F(request_lines, publish_a_full_batch_despite_the_cork) {
  line.cork();
  for (std::uint32_t i = 0; i < request_line::staged_max + 5; ++i) {
    control("c");
  }
  write();
  EXPECT_EQ(service.requests_waiting(), request_line::staged_max);
  ASSERT_TRUE(line.uncork());
  EXPECT_EQ(service.requests_waiting(), request_line::staged_max + 5);
}

TEST_F(request_lines, write_only_requests_whose_answers_have_room) {
  for (int i = 0; i < 900; ++i) {
    control("c");
  }
  std::size_t asked = 0;
  for (int i = 0; i < 50; ++i) {
    write();
    asked += service.take_requests().size();
    service.take_doorbells();
  }
  EXPECT_LT(asked, 700U);
  EXPECT_GT(asked, 500U);
  for (std::size_t i = 0; i < asked; ++i) {
    answer(service, wire::response::leave);  // aborts the test program if the ring has no room
  }
  take_answers();
  EXPECT_THAT(outcomes, SizeIs(asked));
}

TEST_F(request_lines, write_nothing_while_a_reservation_is_open) {
  std::byte* const at = line.open_reservation(wire::multicast_request::data + 1);
  ASSERT_NE(at, nullptr);
  EXPECT_TRUE(line.reserved());
  control("c");
  question("q");
  multicasts.push("m");
  write();
  EXPECT_EQ(line.room(1), nullptr);
  EXPECT_THAT(describe_all(service), IsEmpty());
  put_multicast_header(at, 1);
  at[wire::multicast_request::data] = std::byte{'r'};
  line.commit_reservation(wire::multicast_request::data + 1);
  write();
  EXPECT_THAT(describe_all(service), ElementsAre("multicast r", "leave c", "multicast m", "begin q"));
  ASSERT_NE(line.open_reservation(100), nullptr);
  line.abandon_reservation();
  control("c2");
  write();
  EXPECT_THAT(describe_all(service), ElementsAre("leave c2"));
}

TEST_F(request_lines, pause_after_many_bytes) {
  in_process_service large(262144);
  request_line to;
  to.attach(large.connect_owned());
  waiting_multicasts many(to);
  for (int i = 0; i < 10; ++i) {
    many.push(std::string(20000, 'x'));
  }
  ASSERT_TRUE(to.write(many));
  EXPECT_TRUE(to.more_to_write());
  EXPECT_THAT(large.take_requests(), SizeIs(3));
  ASSERT_TRUE(to.write(many));
  ASSERT_TRUE(to.write(many));
  ASSERT_TRUE(to.write(many));
  EXPECT_FALSE(to.more_to_write());
  EXPECT_THAT(large.take_requests(), SizeIs(7));
  many.push(std::string(200000, 'x'));
  ASSERT_TRUE(to.write(many));
  EXPECT_THAT(large.take_requests(), SizeIs(1)) << "one message is always written, whatever its size";
}

TEST_F(request_lines, complete_a_question_at_its_deadline_and_deliver_its_late_answer) {
  question("sent", at_ms(10), true);
  write();
  service.set_flow_control(2);
  question("waits", at_ms(10), true);
  question("patient", at_ms(20));
  EXPECT_EQ(line.next_deadline(), at_ms(10));
  line.expire(at_ms(9));
  EXPECT_THAT(outcomes, IsEmpty());
  line.expire(at_ms(10));
  EXPECT_THAT(outcomes, ElementsAre("sent timed out", "waits timed out", "waits late timed out"));
  service.set_flow_control(0);
  write();
  EXPECT_THAT(describe_all(service), ElementsAre("begin sent", "begin patient"));
  answer_iteration(service, 1);
  answer_iteration(service, 2);
  take_answers();
  EXPECT_THAT(std::vector(outcomes.begin() + 3, outcomes.end()),
              ElementsAre("sent late answered", "patient answered"));
  EXPECT_FALSE(line.busy());
}

TEST_F(request_lines, still_write_a_control_request_after_its_deadline) {
  service.set_flow_control(2);
  control("c", at_ms(10));
  write();
  line.expire(at_ms(10));
  line.expire(at_ms(11));
  EXPECT_THAT(outcomes, ElementsAre("c timed out"));
  service.set_flow_control(0);
  write();
  EXPECT_THAT(describe_all(service), ElementsAre("leave c"));
}

TEST_F(request_lines, write_waiting_control_requests_after_give_up) {
  control("sent");
  write();
  service.set_flow_control(2);
  control("waits");
  question("never asked");
  line.give_up(error(errc::closed));
  EXPECT_THAT(outcomes, ElementsAre("sent failed", "never asked failed", "waits failed"));
  service.set_flow_control(0);
  write();
  EXPECT_THAT(describe_all(service), ElementsAre("leave sent", "leave waits"));
  control("next");
  write();
  answer(service, wire::response::leave);
  answer(service, wire::response::leave);
  answer(service, wire::response::leave);
  take_answers();
  EXPECT_EQ(outcomes.back(), "next answered") << "answers of earlier requests were not mistaken for its own";
}

TEST_F(request_lines, fail_all_requests_when_the_connection_is_lost) {
  control("sent");
  question("asked");
  write();
  service.set_flow_control(2);
  control("waits");
  question("unasked");
  line.fail_all(error(errc::service_lost));
  EXPECT_THAT(outcomes, ElementsAre("sent failed", "asked failed", "waits failed", "unasked failed"));
  EXPECT_FALSE(line.busy());
}

TEST_F(request_lines, send_one_poke_until_it_is_answered) {
  line.poke();
  line.poke();
  write();
  EXPECT_THAT(describe_all(service), ElementsAre("local_get"));
  answer_local_node(service, 1);
  take_answers();
  line.poke();
  write();
  EXPECT_THAT(describe_all(service), ElementsAre("local_get"));
  EXPECT_EQ(line.pokes(), 2U);
}

TEST_F(request_lines, refuse_answers_to_no_request) {
  control("c");
  write();
  answer(service, wire::response::join);
  const auto taken = line.take_answers();
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error(), errc::malformed);
}

TEST_F(request_lines, report_a_broken_ring) {
  control("c");
  write();
  service.break_ring(in_process_service::ring::response);
  EXPECT_EQ(line.take_answers().error(), errc::malformed);
  control("d");
  service.break_ring(in_process_service::ring::request);
  write();
  EXPECT_THAT(outcomes, IsEmpty());
}

TEST_F(request_lines, stop_writing_after_a_hang_up) {
  control("c");
  service.hang_up();
  EXPECT_FALSE(line.may_write());
  write();
  EXPECT_THAT(outcomes, IsEmpty()) << "the request completes when the connection ends";
}

/// Random sequences of requests, writes, flow control and answers, compared with a list of the requests: I1,
/// I2, at most questions_sent_max questions outstanding, and one completion for each request.
RC_GTEST_PROP(request_lines_property, keep_the_order_and_complete_each_once, ()) {
  in_process_service service;
  request_line line;
  line.attach(service.connect_owned());
  waiting_multicasts multicasts(line);
  struct asked {
    std::string text;
    bool question;
  };
  std::vector<asked> all;
  std::map<std::string, int> completions;
  std::vector<std::string> left;
  std::deque<bool> unanswered;  // question or not
  std::size_t questions_there = 0;
  const auto note = [&completions](const std::string& name) {
    return
        [&completions, name](const result<answer_bytes>& answer) { completions[name] += answer ? 1 : 100; };
  };
  const auto take = [&] {
    for (const auto& one : service.take_requests()) {
      left.push_back(describe(one));
      if (one.id() != wire::request::multicast) {
        const bool question = one.id() == wire::request::iteration_initialize;
        unanswered.push_back(question);
        questions_there += question ? 1 : 0;
        RC_ASSERT(questions_there <= request_line::questions_sent_max);
      }
    }
  };
  const auto answer_oldest = [&] {
    const bool question = unanswered.front();
    unanswered.pop_front();
    questions_there -= question ? 1 : 0;
    if (question) {
      answer_iteration(service, 1);
    } else {
      answer(service, wire::response::leave);
    }
  };
  for (const int step : *rc::gen::container<std::vector<int>>(150, rc::gen::inRange(0, 10))) {
    const std::string name = std::to_string(all.size());
    if (step <= 1) {
      all.push_back({"leave " + name, false});
      line.ask(encode_leave(name, 1), never, note(all.back().text));
    } else if (step <= 3) {
      all.push_back({"begin " + name, true});
      line.ask_question(encode_iteration_begin(2, name), never, note(all.back().text));
    } else if (step <= 5) {
      all.push_back({"multicast " + name, false});
      multicasts.push(name);
    } else if (step == 6) {
      service.set_flow_control(2);
    } else if (step == 7) {
      service.set_flow_control(0);
    } else if (step == 8) {
      RC_ASSERT(line.write(multicasts));
      take();
    } else if (!unanswered.empty()) {
      answer_oldest();
      RC_ASSERT(line.take_answers());
    }
  }
  service.set_flow_control(0);
  for (int round = 0; line.busy() || !multicasts.all.empty(); ++round) {
    RC_ASSERT(round < 1000);
    RC_ASSERT(line.write(multicasts));
    take();
    while (!unanswered.empty()) {
      answer_oldest();
    }
    RC_ASSERT(line.take_answers());
  }
  RC_ASSERT(left.size() == all.size());
  std::map<std::string, std::size_t> place;
  for (std::size_t i = 0; i < left.size(); ++i) {
    place[left[i]] = i;
  }
  std::size_t last_other = 0, last_question = 0;
  bool any_other = false, any_question = false;
  for (const auto& one : all) {
    const std::size_t at = place.at(one.text);
    if (one.question) {
      RC_ASSERT(!any_other || at > last_other);
      RC_ASSERT(!any_question || at > last_question);
      last_question = at;
      any_question = true;
    } else {
      RC_ASSERT(!any_other || at > last_other);
      last_other = at;
      any_other = true;
    }
    RC_ASSERT(completions[one.text] == (one.text.starts_with("multicast") ? 0 : 1));
  }
}

}  // namespace
