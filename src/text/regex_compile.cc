// Writes the program of a parsed pattern.
#include "base/error.h"
#include "text/regex_syntax.h"

namespace stemma {
namespace {

using Node = RegexNode;

constexpr int kMaxOps = 100000;

class Writer {
 public:
  explicit Writer(std::string_view where) : where_(where) {}

  RegexProgram write(const Node& node) {
    emit(node);
    add({RegexOp::kMatch});
    for (CharSet& set : program_.sets) set.freeze();
    return std::move(program_);
  }

 private:
  int add(RegexOp op) {
    if (program_.ops.size() >= kMaxOps)
      fail(Code::kUnsupported, "[", where_, "] a pattern longer than ", kMaxOps,
           " steps is not built");
    program_.ops.push_back(op);
    return here() - 1;
  }
  int here() const { return static_cast<int>(program_.ops.size()); }
  RegexOp& op(int i) { return program_.ops[i]; }

  int add_set(const CharSet& set) {
    program_.sets.push_back(set);
    return static_cast<int>(program_.sets.size()) - 1;
  }

  void emit(const Node& node) {
    switch (node.kind) {
      case Node::kEmpty:
        return;
      case Node::kSet:
        add({.code = RegexOp::kSet, .x = add_set(node.set)});
        return;
      case Node::kSequence:
        for (const Node& part : node.parts) emit(part);
        return;
      case Node::kChoice:
        emit_choice(node);
        return;
      case Node::kRepeat:
        emit_repeat(node);
        return;
      case Node::kLook:
        emit_body(node.parts[0], {.code = RegexOp::kLook, .negate = node.negate});
        return;
      case Node::kBehind:
        emit_body(node.parts[0],
                  {.code = RegexOp::kLookBehind, .negate = node.negate, .min = node.min});
        return;
      case Node::kAtomic:
        emit_body(node.parts[0], {.code = RegexOp::kAtomic});
        return;
      case Node::kAnchor:
        add({.code = node.anchor, .negate = node.negate});
        return;
    }
  }

  void emit_choice(const Node& node) {
    std::vector<int> jumps;
    for (size_t i = 0; i + 1 < node.parts.size(); ++i) {
      const int split = add({.code = RegexOp::kSplit, .x = here() + 1});
      emit(node.parts[i]);
      jumps.push_back(add({.code = RegexOp::kJump}));
      op(split).y = here();
    }
    emit(node.parts.back());
    for (const int jump : jumps) op(jump).x = here();
  }

  // A part that is run on its own.
  void emit_body(const Node& node, RegexOp head) {
    const int at = add(head);
    emit(node);
    add({RegexOp::kMatch});
    op(at).x = here();
  }

  void emit_repeat(const Node& node) {
    const Node& part = node.parts[0];
    if (part.kind == Node::kSet) {
      add({.code = RegexOp::kRun,
           .mode = node.mode,
           .x = add_set(part.set),
           .min = node.min,
           .max = node.max});
      return;
    }
    if (node.mode == RegexOp::kPossessive) {
      Node greedy = node;
      greedy.mode = RegexOp::kGreedy;
      emit_body(greedy, {.code = RegexOp::kAtomic});
      return;
    }
    for (int i = 0; i < node.min; ++i) emit(part);
    std::vector<int> exits;  // splits whose other way leads out
    if (node.max == Node::kUnbounded) {
      const int mark = program_.marks++;
      const int loop = add({.code = RegexOp::kSplit});
      exits.push_back(loop);
      add({.code = RegexOp::kMark, .x = mark});
      emit(part);
      const int progress = add({.code = RegexOp::kProgress, .x = mark});
      add({.code = RegexOp::kJump, .x = loop});
      op(progress).y = here();
    } else {
      for (int i = node.min; i < node.max; ++i) {
        exits.push_back(add({.code = RegexOp::kSplit}));
        emit(part);
      }
    }
    for (const int split : exits) {
      const bool lazy = node.mode == RegexOp::kLazy;
      (lazy ? op(split).y : op(split).x) = split + 1;
      (lazy ? op(split).x : op(split).y) = here();
    }
  }

  std::string_view where_;
  RegexProgram program_;
};

}  // namespace

RegexProgram compile_regex(std::string_view pattern, std::string_view where) {
  return Writer(where).write(parse_regex(pattern, where));
}

}  // namespace stemma
