/**
 * The scripts that complete commands in bash, zsh and fish. They hold all they know, and look only for files and runs when
 * asked: starting the program for each press of Tab would take half a second.
 */
import { type Kind, type Node, nodesOf } from "./completion_tree.ts";

/** Shells that there are scripts for. */
export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = typeof SHELLS[number];

/** What a script is made of. */
export interface ScriptOptions {
  /** The project's folder; absolute. */
  readonly project: string;
  /** Tasks that are commands, by the words that they stand for: `run` is `run`. */
  readonly tasks: readonly string[];
}

/** Makes the script of a shell. */
export function renderScript(shell: Shell, tree: Node, options: ScriptOptions): string {
  if (shell === "fish") return fish(tree, options);
  return shell === "bash" ? bash(tree, options) : zsh(tree, options);
}

/** What bash and zsh share: which words and values may stand where, as functions of the standard shell. */
function tables(tree: Node, { project, tasks }: ScriptOptions): string {
  const nodes = [...nodesOf(tree)];
  const lines = (of: (node: Node) => string) =>
    nodes.map((node) => {
      const words = of(node);
      return words === "" ? [] : [`    ${quote(node.path)}) echo ${quote(words)} ;;`];
    }).flat().join("\n");
  const values = nodes.flatMap(({ path, flags }) =>
    flags.flatMap(({ names, value }) =>
      value === undefined
        ? []
        : names.map((name) => `    ${quote(`${path}|${name}`)}) echo ${quote(sayKind(value))} ;;`)
    )
  );
  return `_pbs2p_project=${quote(project)}
_pbs2p_tasks=${quote(tasks.join(" "))}
_pbs2p_commands() {
  case "$1" in
${lines(({ commands }) => commands.map(({ path }) => path.split(" ").at(-1)).join(" "))}
  esac
}
_pbs2p_options() {
  case "$1" in
${lines(({ flags }) => flags.map(({ names: [name] }) => name).join(" "))}
  esac
}
_pbs2p_argument() {
  case "$1" in
${lines(({ argument }) => argument === undefined ? "" : sayKind(argument))}
  esac
}
_pbs2p_value() {
  case "$1|$2" in
${values.join("\n")}
  esac
}
_pbs2p_runs() {
  # Words that are offered are expanded by some shells: only plain names become such.
  _pbs2p_folder="\${1:-\${PBS2P_RUNS:-$_pbs2p_project/runs}}"
  echo last
  [ -d "$_pbs2p_folder" ] && ls -1 "$_pbs2p_folder" 2>/dev/null | grep -E '^[0-9][A-Za-z0-9._-]*$'
}
# Without a program of that name, its word runs the task from any folder.
if ! command -v pbs2p >/dev/null 2>&1; then
  pbs2p() { deno task --quiet --config "$_pbs2p_project/deno.json" pbs2p "$@"; }
fi
`;
}

function sayKind(value: Kind): string {
  return value.kind === "words" ? `words ${value.words.join(" ")}` : value.kind;
}

function bash(tree: Node, options: ScriptOptions): string {
  return `# Completes pbs2p, and its tasks after \`deno task\`, in bash. Made by \`pbs2p completion bash\`.
${tables(tree, options)}
# Completes from the word at index $1 on, the first that is a command's name.
_pbs2p_from() {
  local at="" seen="" kind="" runs="" word next i cur="\${COMP_WORDS[COMP_CWORD]}"
  for ((i = $1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    if [[ $word == -* ]]; then
      kind="$(_pbs2p_value "$at" "$word")"
      if [[ -n $kind ]]; then
        next=$((i + 1))
        [[ \${COMP_WORDS[next]} == "=" ]] && next=$((i + 2))
        if ((next >= COMP_CWORD)); then
          [[ $cur == "=" ]] && cur=""
          _pbs2p_offer "$kind" "$cur" "$runs"
          return
        fi
        [[ $word == --runs ]] && runs="\${COMP_WORDS[next]}"
        i=$next
      fi
    elif [[ " $(_pbs2p_commands "$at") " == *" $word "* ]]; then
      at="\${at:+$at }$word"
    fi
  done
  if [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$(_pbs2p_options "$at")" -- "$cur"))
  elif [[ -n $(_pbs2p_commands "$at") ]]; then
    COMPREPLY=($(compgen -W "$(_pbs2p_commands "$at")" -- "$cur"))
  else
    _pbs2p_offer "$(_pbs2p_argument "$at")" "$cur" "$runs"
  fi
}
_pbs2p_offer() {
  local IFS=$' \\t\\n' kind="\${1%% *}" cur="$2"
  case "$kind" in
    words) COMPREPLY=($(compgen -W "\${1#words }" -- "$cur")) ;;
    run) _pbs2p_list "$cur" "$(_pbs2p_runs "$3")" ;;
    model) _pbs2p_list "$cur" "$(_pbs2p_runs "$3")" '*.gguf' ;;
    recipe) _pbs2p_list "$cur" "" '*.yaml' '*.yml'
      # A recipe that is not here is looked for in the project, as the program does.
      if [[ \${#COMPREPLY[@]} -eq 0 && -n $cur ]]; then
        IFS=$'\\n'
        COMPREPLY=($(cd "$_pbs2p_project" 2>/dev/null && _pbs2p_files "$cur" '*.yaml' '*.yml'))
      fi ;;
    folder) IFS=$'\\n'; COMPREPLY=($(compgen -d -- "$cur")); compopt -o filenames 2>/dev/null ;;
    *) COMPREPLY=() ;;
  esac
}
# Names of folders, and of files of some kinds.
_pbs2p_files() {
  local pattern
  compgen -d -- "$1"
  for pattern in "\${@:2}"; do compgen -f -X "!$pattern" -- "$1"; done
}
# Offers words, folders, and files of some kinds.
_pbs2p_list() {
  local IFS=$'\\n'
  COMPREPLY=($(compgen -W "$2" -- "$1"))
  # Folders are many: beside words they are offered once something is typed.
  [[ -n $1 || -z $2 ]] && COMPREPLY+=($(_pbs2p_files "$1" "\${@:3}"))
  compopt -o filenames 2>/dev/null
}
_pbs2p() { COMPREPLY=(); _pbs2p_from 1; }
complete -F _pbs2p pbs2p

# After \`deno task\`, where this project's tasks are meant; everything else of deno is completed as before.
_pbs2p_deno_before="$(complete -p deno 2>/dev/null | sed -n 's/.*-F \\([^ ]*\\) .*/\\1/p')"
[[ $_pbs2p_deno_before == _pbs2p_deno ]] && _pbs2p_deno_before=""
_pbs2p_deno() {
  COMPREPLY=()
  if [[ \${COMP_WORDS[1]} == task && $COMP_CWORD -ge 2 && $PWD/deno.json -ef $_pbs2p_project/deno.json ]]; then
    if ((COMP_CWORD == 2)); then COMPREPLY=($(compgen -W "$_pbs2p_tasks" -- "\${COMP_WORDS[2]}"))
    elif [[ \${COMP_WORDS[2]} == pbs2p ]]; then _pbs2p_from 3
    elif [[ " $_pbs2p_tasks " == *" \${COMP_WORDS[2]} "* ]]; then _pbs2p_from 2
    fi
  elif [[ -n $_pbs2p_deno_before ]]; then "$_pbs2p_deno_before" "$@"
  fi
}
complete -o default -F _pbs2p_deno deno
`;
}

function zsh(tree: Node, options: ScriptOptions): string {
  return `#compdef pbs2p
# Completes pbs2p, and its tasks after \`deno task\`, in zsh. Made by \`pbs2p completion zsh\`.
${tables(tree, options)}
_pbs2p_offer() {
  case "\${1%% *}" in
    words) compadd -- \${=1#words } ;;
    run) compadd -- \${(f)"$(_pbs2p_runs "$2")"}; _files -/ ;;
    model) compadd -- \${(f)"$(_pbs2p_runs "$2")"}; _files -g '*.gguf' ;;
    recipe) _files -g '*.(yaml|yml)' ||
      # A recipe that is not here is looked for in the project, as the program does.
      { [[ -n $PREFIX ]] && _files -W "$_pbs2p_project" -g '*.(yaml|yml)'; } ;;
    folder) _files -/ ;;
  esac
}
# Completes from the word at index $1 on, the first that is a command's name.
_pbs2p_from() {
  local at="" kind="" runs="" word cur="\${words[CURRENT]}"
  local -i i
  for ((i = $1; i < CURRENT; i++)); do
    word="\${words[i]}"
    if [[ $word == -* ]]; then
      kind="$(_pbs2p_value "$at" "$word")"
      if [[ -n $kind ]]; then
        if ((i + 1 >= CURRENT)); then _pbs2p_offer "$kind" "$runs"; return; fi
        [[ $word == --runs ]] && runs="\${words[i + 1]}"
        ((i++))
      fi
    elif [[ " $(_pbs2p_commands "$at") " == *" $word "* ]]; then
      at="\${at:+$at }$word"
    fi
  done
  if [[ $cur == -* ]]; then compadd -- \${=$(_pbs2p_options "$at")}
  elif [[ -n $(_pbs2p_commands "$at") ]]; then compadd -- \${=$(_pbs2p_commands "$at")}
  else _pbs2p_offer "$(_pbs2p_argument "$at")" "$runs"
  fi
}
_pbs2p() { _pbs2p_from 2; }
# After \`deno task\`, where this project's tasks are meant; everything else of deno is completed as before.
[[ \${_comps[deno]} == _pbs2p_deno ]] || _pbs2p_deno_before="\${_comps[deno]}"
_pbs2p_deno() {
  if [[ \${words[2]} == task && $CURRENT -ge 3 && $PWD/deno.json -ef $_pbs2p_project/deno.json ]]; then
    if ((CURRENT == 3)); then compadd -- \${=_pbs2p_tasks}
    elif [[ \${words[3]} == pbs2p ]]; then _pbs2p_from 4
    elif [[ " $_pbs2p_tasks " == *" \${words[3]} "* ]]; then _pbs2p_from 3
    fi
  elif [[ -n $_pbs2p_deno_before ]]; then "$_pbs2p_deno_before" "$@"
  else _default
  fi
}
compdef _pbs2p_deno deno
# In a folder of $fpath this file is a function, which is called for what is to be completed.
if [[ \${funcstack[1]} == _pbs2p ]]; then _pbs2p "$@"; else compdef _pbs2p pbs2p; fi
`;
}

function fish(tree: Node, { project, tasks }: ScriptOptions): string {
  const lines: string[] = [];
  for (const { path, commands, flags, argument } of nodesOf(tree)) {
    const add = (rest: string) =>
      lines.push(`complete -c pbs2p -c deno -n ${fishQuote(`_pbs2p_at ${fishQuote(path)}`)} ${rest}`);
    for (const each of commands) add(`-f -a ${each.path.split(" ").at(-1)} -d ${fishQuote(each.about)}`);
    for (const { names, about, value } of flags) {
      const named = names.map((name) => name.startsWith("--") ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`);
      add(`${named.join(" ")} -d ${fishQuote(about)}${value ? ` -x${fishValue(value)}` : ""}`);
    }
    if (argument) add(`-f${fishValue(argument)}`);
  }
  const known = [...nodesOf(tree)].map(({ path }) => fishQuote(path)).join(" ");
  const valued = [
    ...new Set([...nodesOf(tree)].flatMap(({ flags }) => flags.flatMap(({ names, value }) => value ? names : []))),
  ];
  return `# Completes pbs2p, and its tasks after \`deno task\`, in fish. Made by \`pbs2p completion fish\`.
set -g _pbs2p_project ${fishQuote(project)}
set -g _pbs2p_known ${known}
set -g _pbs2p_valued ${valued.join(" ")}
set -g _pbs2p_tasks ${tasks.join(" ")}
if not type -q pbs2p
    function pbs2p
        deno task --quiet --config $_pbs2p_project/deno.json pbs2p $argv
    end
end
function _pbs2p_runs
    set -l folder $_pbs2p_project/runs
    set -q PBS2P_RUNS; and set folder $PBS2P_RUNS
    echo last
    test -d $folder; and ls -1 $folder 2>/dev/null | string match -r '^[0-9][A-Za-z0-9._-]*\$'
end
# Folders, and files with an ending; a recipe that is not here is looked for in the project, as the program does.
function _pbs2p_named -a ending
    __fish_complete_suffix .$ending | string match -r '.*(?:/|\\.(?:'$ending'))(?:\\t.*)?$'
end
function _pbs2p_files -a ending
    set -l found (_pbs2p_named $ending)
    set -l typed (commandline -ct)
    set -l here $PWD
    if test -z "$found" -a -n "$typed"; and builtin cd $_pbs2p_project 2>/dev/null
        set found (_pbs2p_named $ending)
        builtin cd $here
    end
    test -n "$found"; and string join \\n -- $found
end
# The words of pbs2p's own, whichever way it is called; fails where they are another's.
function _pbs2p_words
    set -l words (commandline -opc)
    if test "$words[1]" = deno
        test (count $words) -ge 3; and test "$words[2]" = task; and _pbs2p_is_here; or return 1
        set -e words[1..2]
        test "$words[1]" = pbs2p; and set -e words[1]
        string join \\n -- $words
    else
        string join \\n -- $words[2..-1]
    end
    return 0
end
function _pbs2p_is_here
    test -e deno.json; and test (realpath deno.json) = (realpath $_pbs2p_project/deno.json)
end
function _pbs2p_at -a wanted
    set -l words (_pbs2p_words); or return 1
    set -l at
    set -l skip 0
    for word in $words
        if test $skip = 1
            set skip 0
        else if contains -- $word $_pbs2p_valued
            set skip 1
        else
            set -l longer $at $word
            contains -- "$longer" $_pbs2p_known; and set at $longer
        end
    end
    test "$at" = "$wanted"
end
function _pbs2p_is_task
    set -l words (commandline -opc)
    test "$words" = 'deno task'; and _pbs2p_is_here
end
complete -c deno -f -n _pbs2p_is_task -a "$_pbs2p_tasks"
${lines.join("\n")}
`;
}

function fishValue(value: Kind): string {
  switch (value.kind) {
    case "words":
      return ` -a ${fishQuote(value.words.join(" "))}`;
    case "run":
      return " -a '(_pbs2p_runs; __fish_complete_directories)'";
    case "model":
      return " -a '(_pbs2p_runs; _pbs2p_files gguf)'";
    case "recipe":
      return " -a '(_pbs2p_files yaml)'";
    case "folder":
      return " -a '(__fish_complete_directories)'";
    case "text":
      return "";
    default:
      throw new Error(`Cannot complete ${value satisfies never}`);
  }
}

/** A word for the standard shell, whatever it holds. */
function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function fishQuote(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
