#!/usr/bin/env python3
"""Makes the chat-template cases: tests/cases/template/NAME/{case.json,text.json,model/}.

    run --python chat_templates.py [--out DIR]

The templates below are written for these tests, in the manner of published families; together they
use every construct that chat templates use. Each is rendered by transformers' apply_chat_template
(its own Jinja environment) over the contexts below that its row names. A row whose rendering fails
there holds "error": the message where the template raises it itself, else the empty text.
"""

import argparse
import json
import pathlib
import tempfile

from chat_template_sources import TEMPLATES
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather of a place & a <day>",
            "parameters": {
                "type": "object",
                "properties": {
                    "place": {"type": "string", "description": "A town's name"},
                    "days": {"type": "integer", "minimum": 1, "default": 3},
                    "unit": {"type": "string", "enum": ["C", "F"]},
                },
                "required": ["place"],
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "stop",
            "description": "Ends \"all\" of it",
            "parameters": {"type": "object", "properties": {}},
        },
    },
]
USER = {"role": "user", "content": "Hello there"}
REPLY = {"role": "assistant", "content": " Hi!\nHow can I help? "}
SYSTEM = {"role": "system", "content": "Be brief."}
CALLS = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {
            "id": "call_1",
            "type": "function",
            "function": {"name": "get_weather", "arguments": {"place": "K\u00f6ln", "days": 2}},
        },
        {"id": "call_2", "type": "function", "function": {"name": "stop", "arguments": {}}},
    ],
}
RESULTS = [
    {"role": "tool", "name": "get_weather", "tool_call_id": "call_1", "content": '{"t": 21.5}'},
    {"role": "tool", "name": "stop", "tool_call_id": "call_2", "content": "done"},
]
THOUGHT = {
    "role": "assistant",
    "reasoning_content": "Let me see.\nYes.",
    "content": "The answer is 4.",
}
PICTURE = {
    "role": "user",
    "content": [
        {"type": "text", "text": "What is this?"},
        {"type": "image", "url": "a.png"},
        {"type": "text", "text": " And \u6771\u4eac \U0001f680?"},
    ],
}
HOSTILE = {"role": "user", "content": "</s><|im_end|> {{ x }} {% if %} \\n \"'\u00e9\t<b>&"}

CONTEXTS = {
    "plain": {"messages": [USER]},
    "turns": {"messages": [USER, REPLY, {"role": "user", "content": "  Bye \n"}], "prompt": True},
    "system": {"messages": [SYSTEM, USER, REPLY, USER], "prompt": True},
    "ends": {"messages": [SYSTEM, USER, REPLY]},
    "tools": {"messages": [SYSTEM, USER], "tools": TOOLS, "prompt": True},
    "calls": {"messages": [USER, CALLS, *RESULTS], "tools": TOOLS, "prompt": True},
    "called": {"messages": [SYSTEM, USER, CALLS, *RESULTS, REPLY, USER], "tools": TOOLS[:1]},
    "thought": {"messages": [USER, THOUGHT, USER, THOUGHT]},
    "thinking": {"messages": [USER, THOUGHT, USER], "prompt": True,
                 "kwargs": {"enable_thinking": False, "reasoning_effort": "high"}},
    "picture": {"messages": [SYSTEM, PICTURE, REPLY], "prompt": True},
    "hostile": {"messages": [HOSTILE, REPLY, HOSTILE], "prompt": True},
    "missing": {"messages": [{"role": "user"}, {"content": "no role"}]},
    "empty": {"messages": [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}],
              "prompt": True},
    "odd": {"messages": [REPLY, USER, USER], "prompt": True},
    "documents": {"messages": [USER], "prompt": True,
                  "documents": [{"title": "One", "text": "First."}, {"title": "Two", "text": "2"}]},
    "variables": {"messages": [USER], "kwargs": {
        "n": 7, "x": 2.5, "flag": True, "nothing": None, "big": 18446744073709551616,
        "word": "stra\u00dfe \u0130 \u01c6 \u03a3\u0391\u03a3", "list": [3, 1, 2, 1],
        "names": ["b", "A", "c", "a"], "map": {"b": 1, "a": [1.0, None, True], "C": {"d": "e"}},
        "rows": [{"k": "x", "v": 1}, {"k": "y", "v": 2}, {"k": "x", "v": 3}]}},
}


def tokenizer_of(template, folder):
    core = Tokenizer(models.WordLevel({"[UNK]": 0, "hello": 1}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="[UNK]",
        chat_template=template,
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


def render(tokenizer, context):
    row = {"messages": context["messages"]}
    arguments = {"tools": context.get("tools"), "documents": context.get("documents")}
    row.update({key: value for key, value in arguments.items() if value is not None})
    if context.get("prompt"):
        row["add_generation_prompt"] = True
    if "kwargs" in context:
        row["kwargs"] = context["kwargs"]
    try:
        row["rendered"] = tokenizer.apply_chat_template(
            context["messages"], **arguments, tokenize=False,
            add_generation_prompt=context.get("prompt", False), **context.get("kwargs", {}),
        )
    except Exception as error:  # whatever the template provokes
        own = "raise_exception" in tokenizer.chat_template and str(error).startswith("Template: ")
        row["error"] = str(error) if own else ""
        return row
    if "{% generation %}" in tokenizer.chat_template:
        row["generation"] = spans(tokenizer, context)
    return row


def spans(tokenizer, context):
    from transformers.utils.chat_template_utils import render_jinja_template

    messages = [{k: v for k, v in m.items() if v is not None} for m in context["messages"]]
    _, found = render_jinja_template(
        conversations=[messages], tools=context.get("tools"), documents=context.get("documents"),
        chat_template=tokenizer.chat_template, return_assistant_tokens_mask=True,
        add_generation_prompt=context.get("prompt", False),
        **{**tokenizer.special_tokens_map, **context.get("kwargs", {})},
    )
    return [list(span) for span in found[0]]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    out = parser.parse_args().out
    total = 0
    for name, (about, contexts, template) in TEMPLATES.items():
        folder = out / name
        (folder / "model").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as temporary:
            tokenizer = tokenizer_of(template, temporary)
        roles = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "[UNK]"}
        config = {**roles, "chat_template": template}
        rows = [render(tokenizer, CONTEXTS[context]) for context in contexts.split()]
        write(folder / "model" / "tokenizer_config.json", config)
        write(folder / "text.json", rows)
        import transformers

        write(folder / "case.json", {
            "family": "template", "about": about,
            "source": f"transformers {transformers.__version__} apply_chat_template",
        })
        total += sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
        print(f"{name:28} {len(rows)} rows, {sum('error' in r for r in rows)} errors")
    print(len(TEMPLATES), "templates,", total, "bytes")


def write(path, value):
    rows = value if isinstance(value, list) else [value]
    lines = ",\n".join(json.dumps(row, ensure_ascii=True) for row in rows)
    text = f"[\n{lines}\n]" if isinstance(value, list) else lines
    path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
