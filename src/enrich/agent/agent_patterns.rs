//! The project's own rules for user agents: names of bots, and the systems that every browser
//! names.

/// Names of bots and programs, anywhere in the user agent. `bot` must end a word, and CUBOT is a
/// manufacturer of phones; `008` is a crawler only at the start. A user agent with a URL or a mail
/// address is a bot's, because no browser has one. So is one with more than `KHTML, like Gecko` in
/// that bracket, as Google's tools have.
pub(super) const BOT_NAME_PATTERN: &str = r"(?xi)
    (?:^|[^u]|[^c]u) bots? (?:[^a-z]|$)
  | crawl | spider | headless | http-?_?client | scrap(?:er|ing|y) | phantomjs | selenium | puppeteer | playwright | webdriver
  | slurp | fetcher | prerender | libwww-?perl | page\ ?speed | lighthouse | archiver | link-?check | uptime | validator
  | (?:^|[^m])scann(?:er|ing) | monitor(?:ing)?\b | inspector | \bprobe | audit(?:or)?\b | checker | analy[sz]er | synthetic
  | screenshot | thumbnail | preview | prospect(?:or|ing) | measurement | \bvia\ [a-z0-9.-]+\.[a-z]+
  | https?:// | \bwww\.[a-z0-9-]+\.[a-z] | [a-z0-9_.-]@[a-z0-9-]+\.[a-z] | \[at\] | khtml,\ like\ gecko;
  | ^(?: 008/ | python | java/ | ruby | perl | php | curl | wget | go-http | okhttp | axios | node | undici | dart/ | httpie | postman
       | grpc | azure | cursor/ | anonymous, )
  | ^[^(]*\bagent\b | \)[^()]*agent(?:[/\ -]|$)
  | cloudflare | -amphtml | mshots | site-?shot | \bptst[/\ ] | dareboost | functionize | convertify | \bcypress/ | assetnote | dejaclick
  | pingdom | catchpoint | dynatrace | speedcurve | gtmetrix | rigor | yottaa | neustar | thousandeyes | debugbear | checkly | alertsite
  | \bgomez | sitespeed | uptrends | statuscake | novaact | taginspector | sparkler/ | pageburst | cardyb
  | burpcollaborator | load_file | jndi: | base64_decode | javascript: | < | \bselect\b.*\bfrom\b
";

/// Systems and devices. A browser names the one it runs on; libraries, crawlers and previews do
/// not. The few programs of people that name none (feature phones, Facebook's app without a
/// browser's words) are listed here.
pub(super) const PLATFORM_PATTERN: &str = r"(?xi)
    windows | \bwin(?:9[58]|16|32|64|nt|ce) | macintosh | mac\ ?os | \bosx/ | mac_powerpc | \bppc\b | iphone | ipad | ipod | \biph\d | darwin
  | \bios\b | apple\ ?tv | watch\ ?os | \bwatch\d | android | andr0id | dalvik | fuchsia | linux | \bx11\b | \bcros\b | freebsd | openbsd | netbsd
  | dragonfly | sunos | solaris | hp-ux | \birix | \baix\b | osf1 | cygwin | inferno | serenityos | ladybird | os/2 | beos | haiku | amiga
  | \baros\b | morphos | risc\ ?os | \batari | \bdos\b | vms\b | syllable
  | kaios | symb(?:ian|os) | series\ ?[4680]0 | \bs60\b | blackberry | \bbb10\b | playbook | rim\ tablet | openharmony | harmonyos | sailfish
  | maemo | meego | \bbada\b | \bpalm | hpwos | webos | kindle | nook | \bsilk/ | \bmobile\b | \btablet\b
  | midp | cldc | j2me | \bbrew\b | wap[\d\ _-] | \bmre/ | \bmaui/ | docomo | kddi | up\.browser | up\.link | softbank | vodafone | j-phone
  | willcom | portalmmm | netfront | obigo | teleca | jig\ browser | nokia | samsung | \blge?[-/\ ] | sonyericsson | \bsie- | motorola
  | \bmot- | \bsec-
  | tizen | web0s | netcast | smart-?tv | smarthub | hbbtv | ce-html | viera | aquos | bravia | philips | espial | vidaa | vizi[o0] | youview
  | crkey | cinnamon/ | \bdtv | iptv | tvbrowser | \(tv; | \broku | playstation | \(ps3\) | nintendo | xbox | galaxyclient
  | \bopera\b | \blynx/ | \blinks\b | w3m | netsurf | dillo | \bfban/ | \bfbav/
";
