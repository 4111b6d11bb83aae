"""Chat templates for chat_templates.py: name -> (what it shows, contexts, source)."""

import re

TEMPLATES = {}


# <U+00E9> in a source stands for that character.
def add(name, about, contexts, source):
    source = re.sub("<U\\+([0-9A-F]+)>", lambda m: chr(int(m[1], 16)), source)
    TEMPLATES[name] = (about, contexts, source.removeprefix("\n"))


ALL = "plain turns system ends tools calls called thought thinking picture hostile missing empty odd"
TEXT = "plain turns system hostile missing empty odd"

# ---- in the manner of published families ----

add("chatml", "one loop, no white space control", TEXT + " calls", r"""
{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}
""")

add("chatml_system", "a default system message, else and elif", TEXT, r"""
{%- for message in messages -%}
    {%- if loop.first and messages[0]['role'] != 'system' -%}
        {{- '<|im_start|>system\nYou are helpful.<|im_end|>\n' -}}
    {%- endif -%}
    {%- if message.role == 'system' -%}
        {{- '<|im_start|>system\n' ~ message.content | trim ~ '<|im_end|>\n' -}}
    {%- elif message.role in ['user', 'assistant'] -%}
        {{- '<|im_start|>' ~ message.role ~ '\n' ~ (message.content | trim) ~ '<|im_end|>\n' -}}
    {%- else -%}
        {{- raise_exception('Template: unknown role ' ~ message.role) -}}
    {%- endif -%}
{%- endfor -%}
{{- '<|im_start|>assistant\n' if add_generation_prompt -}}
""")

add("inst", "alternating roles with raise_exception, bos and eos, modulo", TEXT, r"""
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('Template: roles must alternate user/assistant/user/assistant/...') }}
    {%- endif %}
    {%- if message['role'] == 'user' %}
        {%- if loop.first and system_message is defined %}
            {{- ' [INST] ' + system_message + '\n\n' + message['content'] + ' [/INST]' }}
        {%- else %}
            {{- ' [INST] ' + message['content'] + ' [/INST]' }}
        {%- endif %}
    {%- elif message['role'] == 'assistant' %}
        {{- ' ' + message['content'] + eos_token}}
    {%- else %}
        {{- raise_exception('Template: only user and assistant roles are supported') }}
    {%- endif %}
{%- endfor %}
""")

add("inst_sys", "a system message folded into the first user turn, without white space control", TEXT, r"""
{% if messages[0]['role'] == 'system' %}
{% set loop_messages = messages[1:] %}
{% set system_message = messages[0]['content'] %}
{% elif false == true %}
  {% set loop_messages = messages %}
{% else %}
{% set loop_messages = messages %}
{% set system_message = false %}
{% endif %}
{% for message in loop_messages %}
  {% if loop.index0 == 0 and system_message != false %}
    {% set content = '<<SYS>>\n' + system_message + '\n<</SYS>>\n\n' + message['content'] %}
  {% else %}
    {% set content = message['content'] %}
  {% endif %}
  {% if message['role'] == 'user' %}
{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}
  {% elif message['role'] == 'assistant' %}
{{ ' '  + content.strip() + ' ' + eos_token }}
  {% endif %}
{% endfor %}
""")

add("header", "headers, a date, tools as JSON with an indent", ALL, r"""
{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not tools_in_user_message is defined %}
    {%- set tools_in_user_message = true %}
{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("26 Jul %%") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{#- This block extracts the system message, so we can slot it into the right place. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\n\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\n" }}
{%- endif %}
{{- "Today Date: " + date_string + "\n\n" }}
{%- if tools is not none and not tools_in_user_message %}
    {{- "You have access to the following functions.\n\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\n\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- if tools_in_user_message and not tools is none %}
    {#- Extract the first user message so we can plug it in here #}
    {%- if messages | length != 0 %}
        {%- set first_user_message = messages[0]['content']|trim %}
        {%- set messages = messages[1:] %}
    {%- else %}
        {{- raise_exception("Template: cannot put tools in the first user message!") }}
    {%- endif %}
    {{- '<|start_header_id|>user<|end_header_id|>\n\n' -}}
    {{- "Given the following functions, respond with JSON.\n\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\n\n" }}
    {%- endfor %}
    {{- first_user_message + "<|eot_id|>"}}
{%- endif %}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("Template: only single tool-calls at once!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' -}}
        {{- '{"name": "' + tool_call.name + '", "parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}<|eot_id|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\n\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}
""")

add("hermes_tools", "tools in XML tags, merged tool results, previous and next items", ALL, r"""
{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\n\n' }}
    {%- endif %}
    {{- "# Tools\n\nYou may call one or more functions.\n\nSignatures are within <tools></tools> XML tags:\n<tools>" }}
    {%- for tool in tools %}
        {{- "\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\n</tools>\n\nReturn within tags:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call><|im_end|>\n" }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\n' + content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {%- if loop.last or (not loop.last and reasoning_content) %}
                {{- '<|im_start|>' + message.role + '\n<think>\n' + reasoning_content.strip('\n') + '\n</think>\n\n' + content.lstrip('\n') }}
            {%- else %}
                {{- '<|im_start|>' + message.role + '\n' + content }}
            {%- endif %}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}
                    {{- '\n' }}
                {%- endif %}
                {%- if tool_call.function %}
                    {%- set tool_call = tool_call.function %}
                {%- endif %}
                {{- '<tool_call>\n{"name": "' }}
                {{- tool_call.name }}
                {{- '", "arguments": ' }}
                {%- if tool_call.arguments is string %}
                    {{- tool_call.arguments }}
                {%- else %}
                    {{- tool_call.arguments | tojson }}
                {%- endif %}
                {{- '}\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\n<tool_response>\n' }}
        {{- content }}
        {{- '\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\n\n</think>\n\n' }}
    {%- endif %}
{%- endif %}
""")

add("mistral_tools", "slices to the last user message, tools before it, call ids", ALL, r"""
{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or message.role == "tool_results" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("Template: after the optional system message, roles must alternate") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}
                        {{- ", " }}
                    {%- endif %}
                {%- endfor %}
                {{- "}}" }}
                {%- if not loop.last %}
                    {{- ", " }}
                {%- else %}
                    {{- "]" }}
                {%- endif %}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\n\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function|tojson %}
            {{- out[:-1] }}
            {%- if not tool_call.id is defined or tool_call.id|length != 6 %}
                {{- raise_exception("Template: tool call IDs should have length 6!") }}
            {%- endif %}
            {{- ', "id": "' + tool_call.id + '"}' }}
            {%- if not loop.last %}
                {{- ", " }}
            {%- else %}
                {{- "]" + eos_token }}
            {%- endif %}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- elif message["role"] == "tool_results" or message["role"] == "tool" %}
        {%- if message.content is defined and message.content.content is defined %}
            {%- set content = message.content.content %}
        {%- else %}
            {%- set content = message.content %}
        {%- endif %}
        {{- '[TOOL_RESULTS] {"content": ' + content|string + ", " }}
        {{- '"call_id": "' + message.tool_call_id + '"}[/TOOL_RESULTS]' }}
    {%- else %}
        {{- raise_exception("Template: only user and assistant roles are supported") }}
    {%- endif %}
{%- endfor %}
""")

add("turn", "roles renamed, content lists with images, one role for model", ALL, r"""
{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '\n\n' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '\n\n' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Template: conversation roles must alternate") }}
    {%- endif -%}
    {%- if (message['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + role + '\n' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}
                {{ '<start_of_image>' }}
            {%- elif item['type'] == 'text' -%}
                {{ item['text'] | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("Template: invalid content type") }}
    {%- endif -%}
    {{ '<end_of_turn>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model\n'}}
{%- endif -%}
""")

add("phi", "tokens made from roles", TEXT, r"""
{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}{{'<|system|>' + message['content'] + '<|end|>'}}{% elif message['role'] == 'user' %}{{'<|' + message['role'] + '|>' + message['content'] + '<|end|>'}}{% elif message['role'] == 'assistant' %}{{'<|assistant|>' + message['content'] + '<|end|>'}}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %}
""")

add("zephyr", "newlines of the source itself", TEXT, r"""
{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>
' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>
' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>
'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}
""")

add("deepseek", "namespaces of flags, several outputs a line", ALL, r"""
{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace(is_first=false, is_tool=false, is_output_first=true, system_prompt='') %}{%- for message in messages %}{%- if message['role'] == 'system' %}{% set ns.system_prompt = message['content'] %}{%- endif %}{%- endfor %}{{bos_token}}{{ns.system_prompt}}{%- for message in messages %}{%- if message['role'] == 'user' %}{%- set ns.is_tool = false -%}{{'<\uff5cUser\uff5c>' + message['content']}}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is not defined %}{%- set ns.is_tool = false -%}{%- for tool in message['tool_calls']%}{%- if not ns.is_first %}{{'<\uff5cAssistant\uff5c><\uff5ctool\u2581calls\u2581begin\uff5c>' + tool['type'] + '\n' + tool['function']['name'] + '\n```json\n' + tool['function']['arguments']|tojson + '\n```'}}{%- set ns.is_first = true -%}{%- else %}{{'\n' + tool['function']['name'] + '\n```'}}{%- endif %}{%- endfor %}{{'<\uff5cend\uff5c>'}}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is defined %}{%- if ns.is_tool %}{{'<\uff5ctool\u2581outputs\u2581end\uff5c>' + message['content']}}{%- set ns.is_tool = false -%}{%- else %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{'<\uff5cAssistant\uff5c>' + content}}{%- endif %}{%- endif %}{%- if message['role'] == 'tool' %}{%- set ns.is_tool = true -%}{%- if ns.is_output_first %}{{'<\uff5coutputs\uff5c>' + message['content']}}{%- set ns.is_output_first = false %}{%- else %}{{'\n' + message['content']}}{%- endif %}{%- endif %}{%- endfor -%}{% if ns.is_tool %}{{'<\uff5ctool\u2581outputs\u2581end\uff5c>'}}{% endif %}{% if add_generation_prompt and not ns.is_tool %}{{'<\uff5cAssistant\uff5c><think>\n'}}{% endif %}
""")

add("command", "macros with defaults, documents, raw", ALL + " documents", r"""
{%- macro document_turn(documents) -%}
{# format documents into chat turn -#}
<|START|>[
{%- for doc in documents %}
    {
        "id": {{ loop.index0 }},
{%- for key, value in doc.items() %}
        "{{ key }}": {{ value|tojson }}{{ "," if not loop.last }}
{%- endfor %}
    }{% if not loop.last %},{% endif %}
{% endfor %}
]<|END|>
{%- endmacro %}
{%- macro tool_call_id_to_int(messages, tool_call_id, missing=-1) %}
{%- set counter = namespace(value=0) %}
{%- set found = namespace(value=false) %}
{%- for msg in messages %}
    {%- if msg.tool_calls %}
        {%- for tool_call in msg.tool_calls %}
            {%- if tool_call.id == tool_call_id and not found.value %}
                {{- counter.value }}
                {%- set found.value = true %}
            {%- endif %}
            {%- set counter.value = counter.value + 1 %}
        {%- endfor %}
    {%- endif %}
{%- endfor %}
{%- if not found.value %}{{ missing }}{% endif %}
{%- endmacro %}
{%- raw %}{{ not an expression }} {% if %}{% endraw %}
{%- if documents %}
{{ document_turn(documents) }}
{%- endif %}
{%- for m in messages %}
    {%- if m.role == 'tool' %}
        {{- '\n#' ~ tool_call_id_to_int(messages, m.tool_call_id) ~ tool_call_id_to_int(messages, 'x', missing='?') }}
        {{- ': ' ~ m.content }}
    {%- else %}
        {{- '\n' ~ m.role|upper ~ ': ' ~ m.content }}
    {%- endif %}
{%- endfor %}
""")

add("harmony", "recursive macros that render types, with blocks, and nested joins", ALL, r"""
{%- macro render_type(spec, required=false) -%}
    {%- if spec.type == "array" -%}
        {{- (render_type(spec['items']) ~ '[]') if spec['items'] else 'any[]' -}}
    {%- elif spec.type is defined and spec.type is iterable and spec.type is not string -%}
        {{- spec.type | join(" | ") -}}
    {%- elif spec.enum -%}
        {{- '"' + spec.enum|join('" | "') + '"' -}}
    {%- elif spec.type == "object" and spec.properties -%}
        {{- "{\n" }}
        {%- for name, sub in spec.properties.items() -%}
            {{- "  " ~ name ~ ("" if name in (spec.required or []) else "?") ~ ": " ~ render_type(sub) -}}
            {%- if sub.default is defined %}, // default: {{ sub.default }}{% endif %}
            {{- ",\n" if not loop.last else "\n" }}
        {%- endfor -%}
        {{- "}" }}
    {%- elif spec.type == "integer" or spec.type == "number" -%}
        number
    {%- else -%}
        {{- spec.type | default('any', true) -}}
    {%- endif -%}
{%- endmacro -%}
{%- macro tool_namespace(title, tools) -%}
    {{- "## " + title + "\n\nnamespace " + title + " {\n" }}
    {%- for tool in tools %}
        {%- set tool = tool.function %}
        {{- "// " + tool.description + "\ntype "+ tool.name + " = (" }}
        {%- if tool.parameters and tool.parameters.properties -%}
            {{- "_: " ~ render_type(tool.parameters) }}
        {%- endif -%}
        {{- ") => any;\n" }}
    {%- endfor %}
    {{- "} // namespace " + title }}
{%- endmacro -%}
<|start|>system<|message|>Reasoning: {{ reasoning_effort|default("medium") }}
{%- with level = reasoning_effort, other = 1 %} ({{ level or 'none' }}{{ other }}){% endwith %}<|end|>
{%- if tools %}<|start|>developer<|message|>{{ tool_namespace("functions", tools) }}<|end|>{% endif %}
{%- for message in messages -%}
    {%- if message.role == 'assistant' -%}
        {%- if "thinking" in message and not loop.last %}<|start|>assistant<|channel|>analysis<|message|>{{ message.thinking }}<|end|>{% endif -%}
        {%- for call in message.tool_calls or [] -%}
            <|start|>assistant to=functions.{{ call.function.name }}<|channel|>commentary json<|message|>{{ call.function.arguments|tojson }}<|call|>
        {%- else -%}
            <|start|>assistant<|channel|>final<|message|>{{ message.content }}{{ '<|return|>' if loop.last else '<|end|>' }}
        {%- endfor -%}
    {%- else -%}
        <|start|>{{ message.role }}<|message|>{{ message.content }}<|end|>
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}<|start|>assistant{% endif -%}
""")

add("glm_xml", "attributes as XML, items as pairs, macros over content lists", ALL, r"""
[gMASK]<sop>
{%- macro visible_text(content) -%}
    {%- if content is string -%}
        {{- content }}
    {%- elif content is iterable and content is not mapping -%}
        {%- for item in content -%}
            {%- if item is mapping and item.type == 'text' -%}
                {{- item.text }}
            {%- elif item is string -%}
                {{- item }}
            {%- else -%}
                {{- '<|' ~ item.type ~ '|>' }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{- content }}
    {%- endif -%}
{%- endmacro -%}
{%- for m in messages %}
{%- if m.role == 'user' -%}<|user|>
{{ visible_text(m.content) }}
{{- '/nothink' if (enable_thinking is defined and not enable_thinking and not visible_text(m.content).endswith("/nothink")) else '' -}}
{%- elif m.role == 'assistant' -%}
<|assistant|>
{%- for tc in m.tool_calls | default([]) %}
{{ '\n<tool_call>' + tc.function.name }}
{% set _args = tc.function.arguments %}
{% for k, v in _args.items() %}
<arg_key>{{ k }}</arg_key>
<arg_value>{{ v | tojson(ensure_ascii=False) if v is not string else v }}</arg_value>
{% endfor %}
</tool_call>{% endfor %}
{{- '\n' + visible_text(m.content).strip() if visible_text(m.content).strip() }}
{%- elif m.role == 'tool' -%}
{%- if loop.first or loop.previtem.role != "tool" %}
    {{- '<|observation|>' }}
{%- endif %}
{{- '\n<tool_response>\n' ~ m.content ~ '\n</tool_response>' }}
{%- elif m.role == 'system' -%}
<|system|>
{{ visible_text(m.content) }}
{%- endif -%}
{%- endfor -%}
{{- '<|assistant|>' if add_generation_prompt -}}
""")

add("vision", "numbered images, a counter across loops", ALL, r"""
{% set image_count = namespace(value=0) %}{% set video_count = namespace(value=0) %}{% for message in messages %}{% if loop.first and message['role'] != 'system' %}<|im_start|>system
You are a helpful assistant.<|im_end|>
{% endif %}<|im_start|>{{ message['role'] }}
{% if message['content'] is string %}{{ message['content'] }}<|im_end|>
{% else %}{% for content in message['content'] %}{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}{% set image_count.value = image_count.value + 1 %}{% if add_vision_id is not defined %}Picture {{ image_count.value }}: {% endif %}<|vision_start|><|image_pad|><|vision_end|>{% elif content['type'] == 'video' or 'video' in content %}{% set video_count.value = video_count.value + 1 %}<|video_pad|>{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>
{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}
""")

add("smolvlm", "maps and filters by type inside a content list", ALL, r"""
<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}{% if message['content'] is string %}: {{ message['content'] }}{% else %}{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %} ({{ message.content | selectattr('type', 'equalto', 'text') | map(attribute='text') | join('|') }}, {{ message['content'] | rejectattr('type', 'eq', 'text') | list | length }}){% endif %}<end_of_utterance>
{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}
""")

add("granite", "a long if ladder over roles with documents", "plain tools calls documents system thinking", r"""
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set system_message = "Knowledge Cutoff Date: April 2024.\nYou are Granite." %}
    {%- if tools and documents %}
        {%- set system_message = system_message + "\nBoth." %}
    {%- elif tools %}
        {%- set system_message = system_message + "\nTools." %}
    {%- elif documents %}
        {%- set system_message = system_message + "\nDocuments." %}
    {%- elif thinking %}
        {%- set system_message = system_message + "\nThink." %}
    {%- else %}
        {%- set system_message = system_message + "\nNothing." %}
    {%- endif %}
    {%- set loop_messages = messages %}
{%- endif %}
{{- '<|start_of_role|>system<|end_of_role|>' + system_message + '<|end_of_text|>\n' }}
{%- if tools %}
    {{- '<|start_of_role|>tools<|end_of_role|>' }}
    {{- tools | tojson(indent=4) }}
    {{- '<|end_of_text|>\n' }}
{%- endif %}
{%- if documents %}
    {{- '<|start_of_role|>documents<|end_of_role|>' }}
    {%- for document in documents %}
        {{- 'Document ' + loop.index | string + '\n' }}
        {{- document['text'] }}
        {%- if not loop.last %}
            {{- '\n\n'}}
        {%- endif%}
    {%- endfor %}
    {{- '<|end_of_text|>\n' }}
{%- endif %}
{%- for message in loop_messages %}
    {{- '<|start_of_role|>' + message['role'] + '<|end_of_role|>' + message['content']|default('') + '<|end_of_text|>\n' }}
    {%- if loop.last and add_generation_prompt %}
        {{- '<|start_of_role|>assistant' }}
        {%- if controls %}{{- ' ' + controls | tojson()}}{% endif %}
        {{- '<|end_of_role|>' }}
    {%- endif %}
{%- endfor %}
""")

add("kimi", "macros that set nothing outside, roles by lookup in a dict", ALL, r"""
{%- macro render_content(msg) -%}
  {%- set c = msg.get('content') -%}
  {%- if c is string -%}{{ c }}{%- elif c is not none -%}
    {% for content in c -%}
      {% if content['type'] == 'image' or 'image' in content or 'image_url' in content -%}
        <|media_start|>image<|media_content|><|media_pad|><|media_end|>
      {% else -%}
        {{ content['text'] }}
      {%- endif -%}
    {%- endfor -%}
  {%- endif -%}
{%- endmacro -%}
{%- set names = {'user': 'U', "assistant": "A", 'system': 'S',} -%}
{%- if tools -%}
  <|im_system|>tool_declare<|im_middle|>{{ tools | tojson(separators=(',', ':')) }}<|im_end|>
{%- endif -%}
{% for message in messages %}
  {%- set role_name = message.get('name') or names.get(message['role'], message['role']|title) -%}
  <|im_{{ role_name }}|>
  {%- if message['role'] == 'assistant' and message.get('tool_calls') -%}
    {{render_content(message)}}<|tool_calls_section_begin|>
    {%- for tool_call in message['tool_calls'] -%}
      {%- set formatted_id = tool_call['id'] -%}
      <|tool_call_begin|>{{ formatted_id }}<|tool_call_argument_begin|>{% if tool_call['function']['arguments'] is string %}{{ tool_call['function']['arguments'] }}{% else %}{{ tool_call['function']['arguments'] | tojson }}{% endif %}<|tool_call_end|>
    {%- endfor -%}
  {%- else -%}
    {{render_content(message)}}
  {%- endif -%}
  <|im_end|>
{%- endfor -%}
{%- if add_generation_prompt -%}
  <|im_assistant|>assistant<|im_middle|>
{%- endif -%}
""")

add("olmo_lines", "bos and eos at places, strip of a set of characters", TEXT, r"""
{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}{{ '<|system|>\n' + message['content'].strip('. \n') + '\n' }}{% elif message['role'] == 'user' %}{{ '<|user|>\n' + message['content'].lstrip() + '\n' }}{% elif message['role'] == 'assistant' %}{% if not loop.last %}{{ '<|assistant|>\n'  + message['content'].rstrip() + eos_token + '\n' }}{% else %}{{ '<|assistant|>\n'  + message['content'] + eos_token }}{% endif %}{% endif %}{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}{% endfor %}
""")

add("vicuna", "separators by position", TEXT, r"""
{%- set sep = [' ', eos_token] -%}
{%- for m in messages -%}
{%- if m.role == 'system' -%}{{ m.content }}{{ '\n\n' }}
{%- else -%}{{ {'user': 'USER: ', 'assistant': 'ASSISTANT: '}[m.role] ~ m.content ~ sep[loop.index0 % 2] }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ 'ASSISTANT:' }}{%- endif -%}
""")

add("alpaca", "text between tags, plus signs that keep white space", TEXT, r"""
Below is an instruction.

{% for m in messages %}
    {%+ if m.role == 'user' %}
### Instruction:
{{ m.content }}

    {%+ elif m.role == 'assistant' +%}
### Response:
{{ m.content }}

    {% endif %}
{% endfor %}
{% if add_generation_prompt %}
### Response:
{% endif +%}
end
""")

# ---- generation spans ----

add("generation_chatml", "generation blocks in a loop", "turns system ends called thought odd", r"""
{%- for message in messages -%}
{%- if message.role == 'assistant' -%}
{{ '<|im_start|>assistant\n' }}{% generation %}{{ message.content }}{{ '<|im_end|>' }}{% endgeneration %}{{ '\n' }}
{%- else -%}
{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- endif -%}
{%- endfor -%}
""")

add("generation_spaces", "white space around generation tags, blocks in a macro and nested",
    "turns ends thought hostile", r"""
{% macro answer(text) %}[{% generation %}{{ text }}{% endgeneration %}]{% endmacro %}
{% for message in messages %}
  {% if message.role == 'assistant' %}
    {%- generation -%}
      {% set inside = 'in' %}
      {{ message.content }} {{ inside }}
    {%- endgeneration -%}
    {{ answer(message.content) }}{{ inside is defined }}
    {% generation %}a{% generation %}b{% endgeneration %}c{% endgeneration %}
  {% else %}
{{ message.content }} <U+6771> <U+1F680>
  {% endif %}
{% endfor %}
""")

# ---- one construct after another ----

add("whitespace", "trim and lstrip in all their forms", "plain", r"""
a   {% if true %}   b
    {% if true %}
  c  {%- if true %} d {% endif -%}  e
    {% endif %}
{% endif %}
f {#- comment -#} g {# another #}
  {# a comment alone #}
h
    {%+ if true %}i{% endif +%}

j {{- ' k ' -}} l
   {{ 'm' }}
	{% if true -%}

   n
{%- endif %} o{%
  set x = 1
%}{{x}}
  {% raw %}
  raw {{ x }} {# no #}
  {% endraw %}
p {%- raw -%}  q  {%- endraw -%}  r
{{+ 1 }} {{- -1 }} {{ 2 }}
{% for i in [1, 2] %}
  {{ i }}
{% endfor %}
{% for i in [1, 2] -%}
  {{ i }}
{%- endfor %}

s


""")

add("crlf", "line ends of all kinds, the last newline dropped", "plain",
    "a\r\n{% if true %}\r\nb\rc {{ 'x\r\ny' }}\r\n{% endif %}\r\nd\r\n\r\n")

add("literals", "numbers, strings and escapes, containers", "plain", r"""
{{ 1_000 }} {{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ 1.5 }} {{ 1e3 }} {{ 1.5e-7 }} {{ 12345678901234567.0 }} {{ 1e16 }} {{ 1e22 }} {{ 0.1 + 0.2 }} {{ -0.0 }} {{ 1_0.5 }}
{{ 'a\'b"c' }} {{ "a\"b'c" }} {{ 'a\\b\tc\x41\u00e9\U0001F680\101' }} {{ 'a' "b" 'c' }} {{ '\d' }}
{{ [1, 'two', 3.0, none, true, False, None, [], {}] }} {{ () }} {{ (1,) }} {{ (1, 2) }} {{ 1, 2 }} {{ {'a': 1, 2: 'b', none: (1, [2]), true: 1.5} }}
{{ ['it\'s', "say \"hi\"", 'both \' and "', 'nl\n\t\\', '<U+00E9><U+4E1C>\u200b\x07'] }} {{ [1,] }} {{ {'a': 1,}['a'] }} {{ {1: 'x', true: 'y', 1.0: 'z'} }}
{{ [undefined_thing] }} {{ undefined_thing }} {{ none }} {{ [none|string, 1|string, true|string] }}
""")

add("arithmetic", "operators, precedence and their results' types", "plain", r"""
{{ 7 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 2 ** 3 ** 2 }} {{ -2 ** 2 }} {{ 4 / 2 }}
{{ 1 + 2 * 3 - 4 }} {{ (1 + 2) * 3 }} {{ 1 + 1.0 }} {{ true + true }} {{ 'ab' * 3 }} {{ 2 * 'xy' }} {{ [1] * 2 + [3] }} {{ (1,) + (2,) }} {{ 'a' + 'b' }} {{ 'a' ~ 1 ~ none ~ 2.0 }}
{{ 1 ~ 2 * 3 }} {{ 'a' + 2 ~ 1 }} {{ -3 | abs }} {{ 3.7 | int }} {{ +5 }} {{ - -5 }} {{ 10 - -3 }} {{ 2 * 3 % 4 }} {{ 9007199254740993 + 0 }} {{ 1 / 3 }}
{{ 100000 * 100000 * 100000 }} {{ 1e308 * 10 }} {{ -1e308 * 10 }}
""")

add("comparison", "comparisons, chains, membership, logic", "plain", r"""
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 }} {{ 1 == true }} {{ '1' == 1 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ (1,) == [1] }} {{ {'a': 1} == {'a': 1.0} }} {{ none == none }} {{ x == y }} {{ x != none }}
{{ 2 in [1, 2] }} {{ 'ell' in 'hello' }} {{ 'k' in {'k': 1} }} {{ 3 not in [1, 2] }} {{ not 1 in [2] }} {{ '' in 'a' }} {{ 1 in (1,) }} {{ 'a' in x }} {{ 5 in range(10) }}
{{ 0 or 'b' }} {{ 'a' and 'b' }} {{ '' or none or [] }} {{ not '' }} {{ not not 1 }} {{ 1 and 0 or 2 }} {{ true and not false }} {{ x or 'default' }} {{ (x and 1) is undefined }}
{{ 'yes' if 1 else 'no' }} {{ 'yes' if 0 }}| {{ 'a' if 0 else 'b' if 0 else 'c' }} {{ ('a' if 0) is undefined }} {{ 1 <= 1 >= 1 != 2 }} {{ 1 > 2 or 3 > 2 }}
""")

add("slices", "indices and slices, with steps and beyond ends", "plain variables", r"""
{% set s = 'h<U+00E9>llo w<U+00F6>rld' %}{% set l = [0, 1, 2, 3, 4, 5] %}
{{ s[0] }}{{ s[-1] }} {{ s[1:4] }} {{ s[:-1] }} {{ s[-3:] }} {{ s[::-1] }} {{ s[::2] }} {{ s[8:2:-2] }} {{ s[100:] }}| {{ s[:100] }} {{ s[5:1] }}|
{{ l[0] }} {{ l[-1] }} {{ l[1:3] }} {{ l[::-1] }} {{ l[:-1] }} {{ l[4:0:-2] }} {{ l[-100:2] }} {{ l[10] }}| {{ l[10] is defined }} {{ (1, 2, 3)[1:] }} {{ l[1:][0] }} {{ l.0 }} {{ l[:] == l }}
{{ range(10)[2:8:3] | list }} {{ range(5)[-1] }} {{ range(0, 10, 3) | list }} {{ range(5, 0, -2) | list }} {{ range(3) }} {{ range(1, 5, 2) }} {{ range(0) | length }}
{{ messages[0].content[:3] }} {{ messages[0]['content'][-5:] }} {{ messages[-1:] | length }} {{ {'a': {'b': [1, 2]}}.a.b[-1] }} {{ {'a': 1}['x'] is defined }} {{ [[1, 2], [3]][0][1] }} {{ none.x is defined }} {{ (1).x is undefined }}
{% for m in messages %}{{ messages[loop.index0 + 1:] | length }}{{ messages[:loop.index] | map(attribute='role') | join(',') }};{% endfor %}
""")

add("tests", "every test", "plain variables", r"""
{% set vals = [none, true, 0, 3, 2.5, '', 'abc', 'ABC', [], (1,), {}, nothing_here, range(2), messages] %}
{% for v in vals %}{{ loop.index }}:{{ [v is none, v is boolean, v is true, v is false, v is integer, v is float, v is number, v is string, v is mapping, v is iterable, v is sequence, v is defined, v is undefined, v is callable] | map('int') | join('') }}
{% endfor %}
{{ 3 is odd }} {{ 4 is even }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(4) }} {{ 'abc' is lower }} {{ 'ABC' is upper }} {{ 'aB' is upper }} {{ 1 is sameas 1 }} {{ none is sameas none }} {{ true is sameas true }}
{{ 2 is eq 2 }} {{ 2 is equalto 3 }} {{ 2 is ne 3 }} {{ 2 is gt 1 }} {{ 2 is lt 1 }} {{ 2 is ge 2 }} {{ 2 is le 2 }} {{ 2 is greaterthan 1 }} {{ 2 is lessthan 1 }} {{ 'a' is in 'abc' }} {{ 3 is in [1, 2] }} {{ 3 is not in [1] }} {{ 1 is not none }} {{ not x is defined }}
{{ 'upper' is filter }} {{ 'nope' is filter }} {{ 'odd' is test }} {{ range is callable }} {{ namespace is defined }} {{ 'x' is escaped }} {{ ('x'|safe) is escaped }} {{ {}.items() is sequence }} {{ {}.items() is iterable }} {{ [1]|map('int') is sequence }}
""")

add("filters_text", "filters of strings", "plain variables", r"""
{{ '  a b '|trim }}| {{ 'xxaxx'|trim('x') }} {{ 'hello wOrld'|capitalize }} {{ "it's a foo-bar (baz) [qux]"|title }} {{ 'aB'|upper }} {{ 'AB'|lower }} {{ 5|string + '!' }} {{ 'aaa'|replace('a', 'b', 2) }} {{ 'abc'|replace('', '-') }} {{ 12|replace(1, 3) }}
{{ 'a'|center(5) }}| {{ 'ab'|center(5) }}| {{ 'one two, three_4'|wordcount }} {{ 'foo bar baz qux'|truncate(9) }} {{ 'foo bar baz qux'|truncate(9, true) }} {{ 'foo bar baz qux'|truncate(11) }} {{ 'foo bar baz qux'|truncate(9, false, '..', 0) }}
{{ 'a\nb\n\nc'|indent }} {{ 'a\nb\n\nc'|indent(2, true) }} {{ 'a\nb\n\nc'|indent(width='> ', blank=true) }} {{ ''|indent(2, first=true) }}|
{{ '%s is %d and %.2f%%'|format('x', 3, 2.5) }} {{ '%(a)s-%(b)05d'|format(a=1, b=42) }} {{ 'abc'|reverse }} {{ 'abc'|list }} {{ 'abc'|length }} {{ 'abc'|first }}{{ 'abc'|last }} {{ '<a href="x">\'&'|e }} {{ ('<b>'|safe) + '<i>' }} {{ '<b>'|safe ~ '<i>' }} {{ '<b>'|escape|upper }} {{ '<'|forceescape }}
{{ 'a b/c?d=e&f=<U+00FC>'|urlencode }} {{ {'a b': 1, 'c': 'd/e'}|urlencode }} {{ 1|filesizeformat }} {{ 1500|filesizeformat }} {{ 123456789|filesizeformat(true) }} {{ none|default('d') }} {{ none|default('d', true) }} {{ nope|default('d') }} {{ ''|d('x', boolean=true) }} {{ nope|upper }}| {{ nope|trim }}|
{{ 'stra<U+00DF>e'|upper }} {{ '<U+0391><U+03A3> <U+0391><U+03A3><U+0391>'|lower }} {{ '<U+01C6> <U+0149> <U+FB01>'|upper }} {{ '<U+00E9>a'|capitalize }} {{ '<U+0130>'|lower|length }} {{ '<U+FB01>x <U+01C6>a <U+00DF>s'|title }}
""")

add("filters_lists", "filters of sequences", "plain variables", r"""
{% set l = [3, 1, 2] %}{% set d = {'b': 1, 'a': 3, 'C': 2} %}{% set rows = [{'k': 'x', 'v': 1, 'n': {'m': 5}}, {'k': 'y', 'v': 2}, {'k': 'x', 'v': 3, 'n': {'m': 4}}] %}
{{ l|sort }} {{ l|sort(reverse=true) }} {{ ['b', 'A', 'c']|sort }} {{ ['b', 'A', 'c']|sort(case_sensitive=true) }} {{ rows|sort(attribute='v', reverse=true)|map(attribute='v')|list }} {{ rows|sort(attribute='k,v')|map(attribute='v')|join }}
{{ l|first }} {{ l|last }} {{ l|length }} {{ l|count }} {{ l|sum }} {{ rows|sum(attribute='v') }} {{ l|sum(start=10) }} {{ l|min }} {{ l|max }} {{ rows|max(attribute='v') }} {{ ['b', 'A']|min }} {{ []|first is defined }} {{ []|min is defined }} {{ []|sum }}
{{ l|join(', ') }} {{ rows|join('-', attribute='k') }} {{ [1, [2], none]|join('|') }} {{ l|reverse|list }} {{ l|map('string')|list }} {{ ['a', 'b']|map('upper')|join }} {{ rows|map(attribute='n.m', default=0)|list }} {{ rows|map(attribute='zz')|list }} {{ ['a', 'b']|map('replace', 'a', 'c')|list }}
{{ [0, 1, 2, none, '']|select|list }} {{ [1, 2, 3]|select('odd')|list }} {{ [1, 2, 3]|reject('odd')|list }} {{ [1, 2, 3]|select('gt', 1)|list }} {{ rows|selectattr('n')|list|length }} {{ rows|selectattr('k', 'equalto', 'x')|map(attribute='v')|list }} {{ rows|rejectattr('n', 'defined')|list }} {{ rows|selectattr('k', 'in', ['y'])|list|length }}
{{ [1, 1, 'a', 'A', 2]|unique|list }} {{ rows|unique(attribute='k')|map(attribute='v')|list }} {{ d|dictsort }} {{ d|dictsort(by='value') }} {{ d|dictsort(true, reverse=true) }} {{ d|items|list }} {{ nope|items|list }} {{ d|list }} {{ d|length }} {{ d|first }}
{{ [1, 2, 3, 4, 5]|batch(2)|list }} {{ [1, 2, 3]|batch(2, 0)|list }} {{ [1, 2, 3, 4, 5]|slice(3)|list }} {{ [1, 2, 3, 4]|slice(3, '-')|list }} {% for g in rows|groupby('k') %}{{ g.grouper }}={{ g.list|map(attribute='v')|list }} {% endfor %}{% for k, items in rows|groupby('k') %}{{ k }}{{ items|length }}{% endfor %}
{% set gen = l|map('string') %}{{ gen|list }}{{ gen|list }} {% if []|selectattr('x') %}generators are true{% endif %} {{ d|attr('items') is defined }} {{ d|attr('b') is defined }} {{ (1, 2)|list }} {{ {'a': 1}|attr('get')('a') }} {{ rows|tojson }} {{ rows|map('tojson')|join(';') }}
""")

add("filters_numbers", "filters of numbers, and conversions", "plain variables", r"""
{{ 2.5|round }} {{ 3.5|round }} {{ 2.675|round(2) }} {{ 2.1|round(method='ceil') }} {{ 2.987|round(1, 'floor') }} {{ 1234|round(-2) }} {{ 1250|round(-2) }} {{ 5|round }} {{ -2.5|round|int }} {{ 1e20|round }}
{{ '42'|int }} {{ ' -7 '|int }} {{ '3.9'|int }} {{ 'x'|int }} {{ 'x'|int(9) }} {{ '0x1f'|int(base=16) }} {{ 'ff'|int(0, 16) }} {{ '1_000'|int }} {{ none|int }} {{ true|int }} {{ '1e3'|int }} {{ -3.9|int }}
{{ '1.5'|float }} {{ 'x'|float }} {{ 'x'|float(2.5) }} {{ 3|float }} {{ '1e-5'|float }} {{ 'inf'|float }} {{ -5|abs }} {{ -5.5|abs }} {{ true|float }} {{ '1_0.5'|float }}
""")

add("json", "tojson as json.dumps", "plain tools picture hostile variables", r"""
{{ messages|tojson }}
{{ messages|tojson(indent=2) }}
{{ tools|tojson(indent=0) }} {{ tools|tojson(separators=(',', ':')) }} {{ tools|tojson(sort_keys=true) }}
{{ messages|tojson(ensure_ascii=true) }} {{ [1, 2.0, 1e-7, true, none, (), (1,), {}, [], {'a': {}}]|tojson }} {{ {1: 'a', none: 'b', true: 'c', 2.5: 'd'}|tojson }} {{ {'b': 1, 'a': [1, {'c': 2}]}|tojson(indent='\t', sort_keys=true) }} {{ '<U+00E9>\u2028</script>\x7f'|tojson }} {{ [1, [2]]|tojson(indent=1, separators=(';', '=')) }} {{ big|default(0)|tojson }}{{ big }}
""")

add("methods_text", "methods of strings", "plain variables", r"""
{{ ' a b  c '.split() }} {{ 'a,b,,c'.split(',') }} {{ 'a,b,c'.split(',', 1) }} {{ 'a b c'.split(maxsplit=1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ ' a  b c'.rsplit(none, 1) }} {{ ''.split() }} {{ ''.split(',') }} {{ 'a--b'.partition('--') }} {{ 'abc'.partition('x') }} {{ 'a.b.c'.rpartition('.') }}
{{ ' x '.strip() }}| {{ 'xxabxx'.strip('xa') }} {{ ' x '.lstrip() }}| {{ ' x '.rstrip() }}| {{ 'abc'.removeprefix('a') }} {{ 'abc'.removesuffix('c') }} {{ 'a\nb\r\nc\x0bd'.splitlines() }} {{ 'a\nb'.splitlines(true) }}
{{ 'abc'.startswith('a') }} {{ 'abc'.startswith(('x', 'ab')) }} {{ 'abc'.endswith('c') }} {{ 'abc'.startswith('b', 1) }} {{ 'abcabc'.find('c') }} {{ 'abcabc'.rfind('c') }} {{ 'abc'.find('x') }} {{ 'abcabc'.index('b', 2) }} {{ 'aXbX'.count('X') }} {{ 'aaa'.count('aa') }} {{ 'abc'.count('') }}
{{ 'aXb'.replace('X', '--') }} {{ 'aaa'.replace('a', 'b', 1) }} {{ 'aB'.upper() }} {{ 'aB'.lower() }} {{ 'aB cD'.title() }} {{ "they're bill's".title() }} {{ 'aB'.capitalize() }} {{ 'aB'.swapcase() }} {{ 'a'.center(4, '*') }} {{ 'ab'.center(5) }}| {{ 'a'.ljust(3, '.') }} {{ 'a'.rjust(3) }} {{ '-5'.zfill(4) }} {{ 'a\tb'.expandtabs(4) }} {{ '-'.join(['a', 'b']) }} {{ ', '.join({'x': 1, 'y': 2}) }}
{{ 'abc'.isalpha() }} {{ 'a1'.isalnum() }} {{ '12'.isdigit() }} {{ '<U+00BD>'.isnumeric() }} {{ ' '.isspace() }} {{ 'ab'.islower() }} {{ 'AB'.isupper() }} {{ 'Ab Cd'.istitle() }} {{ 'a_1'.isidentifier() }} {{ ''.isascii() }} {{ '<U+00E9>'.isascii() }} {{ '<U+0663>'.isdecimal() }}
{{ '{} and {}'.format(1, 'b') }} {{ '{1}{0}{x}'.format('a', 'b', x='c') }} {{ '{:>5}|{:<5}|{:^5}|{:05d}|{:.2f}|{:,}|{:x}|{:+d}|{:%}'.format('a', 'b', 'c', 42, 3.14159, 1234567, 255, 5, 0.25) }} {{ '{0[k]} {0.x} {1[0]!r:>6} {{}}'.format({'k': 'v'}, ['q']) }} {{ '{:{}}'.format('a', 4) }}| {{ '{a}'.format_map({'a': 1}) }} {{ '{!s} {:*^7} {:e} {:g}'.format(none, 'mid', 12345.678, 0.0001) }}
""")

add("percent", "percent formatting", "plain variables", r"""
{{ '%s' % 'a' }} {{ '%s %s' % ('a', 1) }} {{ '%d%%' % 5 }} {{ '%5d|%-5d|%05d|%+d|% d' % (42, 42, 42, 42, 42) }} {{ '%.3f %e %g %G' % (3.14159, 1234.5, 0.00001, 1e10) }} {{ '%x %X %o %#x' % (255, 255, 8, 255) }} {{ '%r %a' % ('<U+00E9>', '<U+00E9>') }} {{ '%c%c' % ('x', 65) }} {{ '%(a)s %(b)d' % {'a': 1, 'b': 2} }} {{ '%10.3s|' % 'abcdef' }} {{ '%*d' % (5, 42) }} {{ '%s' % none }} {{ '%s' % [1, 2] }} {{ '%s' % (('t', 1),) }} {{ '%i' % 3.99 }} {{ '%.3d' % 7 }} {{ '%-8s|' % 'ab' }} {{ '%08.3f' % -3.14159 }}
""")

add("methods_data", "methods of dicts, lists and tuples", "plain variables calls", r"""
{% set d = {'b': 1, 'a': 2, 'items': 3} %}
{{ d.get('b') }} {{ d.get('x') }} {{ d.get('x', 'y') }} {{ d.keys() }} {{ d.values() }} {{ d.items() }} {{ d.items()|list }} {{ d['items'] }} {{ d.keys()|list }} {{ 'b' in d.keys() }} {{ 1 in d.values() }} {{ ('b', 1) in d.items() }} {{ d.keys()|length }} {{ d.copy() == d }} {{ d.keys()|sort }} {{ d.items()|first }} {{ d.values()|last }} {{ d.values()|sum }}
{{ [1, 2, 1].count(1) }} {{ [1, 2].index(2) }} {{ (1, 2, 1).count(1) }} {{ [1, 2].copy() }} {{ [1].append is defined }} {{ d.pop is defined }} {{ d.update is defined }} {{ dict(a=1, b=2) }} {{ dict([('x', 1)], y=2) }} {{ dict(d, z=0) }} {{ dict.fromkeys(['p', 'q'], 0) }} {{ d.a }} {{ d['a'] }} {{ d.nope is defined }} {{ d.__class__ is defined }}
{% for k, v in d.items() %}{{ k }}={{ v }}{{ ', ' if not loop.last }}{% endfor %} {% for k in d %}{{ k }}{% endfor %} {% for m in messages %}{% for k, v in m.items() %}{{ k }}:{{ v }};{% endfor %}{% endfor %}
{{ 2.0.is_integer() }} {{ messages[0].get('role') }} {{ messages[0].get('x', {}).get('y') }} {{ messages[0].keys()|join(',') }}
""")

add("loops", "everything of loop", "plain turns variables", r"""
{% for i in [1, 2, 3] %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle('a', 'b') }}{{ loop.changed(i // 2) }} {% endfor %}
{% for i in [1, 2, 3, 4] if i is even %}{{ i }}{{ loop.length }}{{ loop.last }}{{ loop.index }} {% else %}none{% endfor %}
{% for i in [] %}x{% else %}empty{% endfor %} {% for i in [1] %}x{% else %}empty{% endfor %} {% for i in [1, 3] if i is even %}x{% else %}filtered{% endfor %} {% for c in 'a<U+00F1>' %}[{{ c }}]{% endfor %} {% for x in nope %}x{% else %}undefined{% endfor %}
{% for i in range(10) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i }}{% endfor %} {% for i in [1, 2] %}{% for j in [1, 2, 3] %}{% if j == 2 %}{% break %}{% endif %}{{ i }}{{ j }}{{ loop.index }} {% endfor %}{{ loop.index }}{% endfor %}
{% for a, b in [(1, 2), [3, 4]] %}{{ a + b }} {% endfor %}{% for (a, b), c in [((1, 2), 3)] %}{{ a }}{{ b }}{{ c }}{% endfor %} {% for k, v in {'x': 1}.items() %}{{ k }}{{ v }}{% endfor %} {% for x in 1, 2 %}{{ x }}{% endfor %}
{% set x = 'outer' %}{% for i in [1, 2] %}{{ x }}{% set x = i %}{{ x }} {% endfor %}{{ x }} {% set ns = namespace(n=0, l=[]) %}{% for i in [1, 2, 3] %}{% set ns.n = ns.n + i %}{% set ns.l = ns.l + [i] %}{% endfor %}{{ ns.n }}{{ ns.l }} {{ ns['n'] }} {{ ns.nope is defined }}
{% for item in [{'n': 1, 'c': [{'n': 2, 'c': [{'n': 3}]}]}, {'n': 4}] recursive %}{{ item.n }}@{{ loop.depth }}{% if item.c %}({{ loop(item.c) }}){% endif %}{{ '' if loop.last else ',' }}{% endfor %}
{% for m in messages %}{% if loop.nextitem is defined and loop.nextitem.role == 'assistant' %}<before answer>{% endif %}{{ loop.previtem.role if loop.previtem is defined }}{{ m.role }} {% endfor %}{% if true %}{% set leaked = 1 %}{% endif %}{{ leaked }} {% for i in range(3) if i != 1 %}{{ loop.nextitem }}{{ loop.revindex }} {% endfor %}
""")

add("macros", "macros, callers and their arguments", "plain variables", r"""
{% macro f(a, b='B', c=none) %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}{{ f(1) }}{{ f(1, 2) }}{{ f(1, c=3) }}{{ f(c=1, a=2) }}{{ f() }}
{% macro g(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ g(1, 2, 3, x=4) }}{{ g(1) }} {{ g(*[1, 2], **{'k': 'v'}) }}
{% macro h(x, y=x * 2) %}{{ y }}{% endmacro %}{{ h(4) }} {% macro fact(n) %}{{ 1 if n <= 1 else n * fact(n - 1)|int }}{% endmacro %}{{ fact(5) }} {{ f.name }} {{ f is callable }}
{% macro list_of(items, sep=', ') %}{% for i in items %}{{ caller(i, loop.index) }}{{ sep if not loop.last }}{% endfor %}{% endmacro %}{% call(item, n) list_of(['a', 'b']) %}<{{ n }}{{ item }}>{% endcall %} {% macro box() %}({{ caller() }}){% endmacro %}{% call box() %}in{% endcall %} {% macro maybe() %}{{ caller() if caller is defined else 'no caller' }}{% endmacro %}{{ maybe() }}
{% set y = 1 %}{% macro reads() %}{{ y }}{{ later }}{% set y = 5 %}{{ y }}{% endmacro %}{% set later = 'L' %}{{ reads() }}{% set y = 2 %}{{ reads() }}{{ y }} {% for i in [1, 2] %}{% macro inner() %}{{ i }}{% endmacro %}{{ inner() }}{% endfor %}
{% set out = f(1)|upper %}{{ out|length }} {{ (f(1) ~ f(2))|replace('B', '') }} {% set text = f('x')|trim %}{{ text is string }} {{ f(a=[1, 2], b={'k': none}) }} {% macro spaces() %}

  text
{% endmacro %}[{{ spaces() }}] {%- macro trimmed() -%}  t  {%- endmacro -%} [{{ trimmed() }}]
""")

add("sets", "set in its forms, with, filter blocks, blocks", "plain variables", r"""
{% set a = 1 %}{% set b, c = 2, 3 %}{% set (d, e) = [4, 5] %}{{ a }}{{ b }}{{ c }}{{ d }}{{ e }} {% set t = 1, 2 %}{{ t }} {% set ns = namespace(x=1) %}{% set ns.x, f = 7, 8 %}{{ ns.x }}{{ f }} {{ namespace({'q': 1}, r=2).q }} {{ ns }}
{% set block %}  text {{ a }}
{% endset %}[{{ block }}]{% set filtered | upper | trim %} shout {{ a }} {% endset %}[{{ filtered }}]{% set ns.y %}in{% endset %}{{ ns.y }} {{ block is string }}{% set inner_scope %}{% set zz = 1 %}{% endset %}{{ zz is defined }}
{% with %}{% set w = 1 %}{{ w }}{% endwith %}{{ w is defined }} {% with a = 5, g = a %}{{ a }}{{ g }}{% endwith %}{{ a }} {% filter upper %}loud {{ a }}{% endfilter %} {% filter replace('a', 'b')|trim %} banana {% set q = 1 %}{% endfilter %}{{ q is defined }}
{% block title %}in a block {{ a }}{% endblock %} {% block other scoped %}{{ b }}{% endblock other %} {% if a == 1 %}{% set a = 9 %}{% endif %}{{ a }} {% print a, b %} {% if a: %}colon{% endif %} {% set messages = messages + [{'role': 'x'}] %}{{ messages|length }}
{% set c = cycler('x', 'y') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }} {% set j = joiner('|') %}{{ j() }}{{ j() }}{{ j() }} {% set tools = tools or [] %}{{ tools }} {% set undef = nope %}{{ undef is defined }} {{ range.x is defined }}
""")

add("variables", "what the caller passes", "variables plain", r"""
{{ n }} {{ x }} {{ flag }} {{ nothing }} {{ big }} {{ word }} {{ list }} {{ names }} {{ map }} {{ rows }}
{{ n|default(0) + 1 }} {{ word|upper }} {{ word|lower }} {{ word|title }} {{ word|capitalize }} {{ names|sort }} {{ names|unique|list }} {{ map|dictsort if map is defined }} {{ map|default({})|tojson }} {{ list|sort|unique|list }} {{ rows|groupby('k')|map('first')|list }} {{ list|join('-') }} {{ flag is true }} {{ nothing is none }} {{ bos_token }}{{ eos_token }}{{ unk_token }}{{ pad_token is defined }} {{ tools is none }} {{ documents is none }} {{ add_generation_prompt }}
""")

# ---- errors ----

for name, about, source in [
    ("unknown_filter", "a filter that does not exist", "{{ messages|nope }}"),
    ("undefined_attribute", "an attribute of what is undefined", "{{ nope.x }}"),
    ("sandbox_append", "a change of a list", "{% set l = [] %}{{ l.append(1) }}"),
    ("sandbox_update", "a change of a dict", "{{ messages[0].update({'a': 1}) }}"),
    ("sandbox_dunder", "a way into the interpreter", "{{ ''.__class__.__mro__ }}"),
    ("types", "adding text to a number", "{{ 'a' + 1 }}"),
    ("none_text", "adding text to none", "{{ 'a' + none }}"),
    ("unpack", "unpacking too few", "{% set a, b = [1] %}"),
    ("too_far", "a range beyond the sandbox's", "{{ range(1000000)|list }}"),
    ("zero", "a division by zero", "{{ 1 // 0 }}"),
    ("namespace_only", "an attribute of a dict set", "{% set d = {} %}{% set d.x = 1 %}"),
    ("keyword", "an unknown argument of a macro", "{% macro f(a) %}{% endmacro %}{{ f(b=1) }}"),
    ("not_callable", "a call of text", "{{ 'a'() }}"),
    ("json_undefined", "undefined as JSON", "{{ nope|tojson }}"),
    ("no_length", "the length of a number", "{{ 5|length }}"),
    ("not_iterable", "a loop over none", "{% for x in none %}{% endfor %}"),
    ("unclosed", "a block without its end", "{% if true %}x"),
    ("bad_tag", "an unknown tag", "{% do x %}"),
    ("bad_expression", "an expression cut short", "{{ 1 + }}"),
    ("bad_bracket", "brackets that do not match", "{{ (1] }}"),
    ("raised", "an exception of the template's own",
     "{{ raise_exception('Template: ' ~ messages[0].role ~ ' is refused') }}"),
]:
    add("error_" + name, about, "plain", source)
