"""The page's style sheet and script: inline, so that the page needs nothing beside itself."""

__all__ = ["CSS", "JS", "SVG_THEME"]

SVG_THEME = (
    ":root{--ink:#222222;--paper:#ffffff}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e4e6ea;--paper:#1b1e24}}"
)
"""Colours of text and ground in embedded figures, the page's own."""

CSS = """
:root{color-scheme:light dark;--ground:#f6f7f9;--paper:#ffffff;--ink:#222222;--quiet:#565d68;
--line:#d9dde3;--accent:#00598c;--good:#00684a;--bad:#a33f00;--shade:#eef1f5}
@media(prefers-color-scheme:dark){:root{--ground:#121418;--paper:#1b1e24;--ink:#e4e6ea;
--quiet:#a9b1bd;--line:#343a44;--accent:#6db8e8;--good:#4fc79b;--bad:#f0945a;--shade:#262b33}}
*{box-sizing:border-box}
html{scroll-behavior:smooth;scroll-padding-top:3.4rem}
body{margin:0;background:var(--ground);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main,header>div{max-width:1120px;margin:0 auto;padding:0 1.25rem}
header{padding:2.2rem 0 1.2rem}
h1{font-size:2rem;line-height:1.2;margin:0 0 .35rem;letter-spacing:-.01em}
h2{font-size:1.4rem;margin:0 0 1rem;padding-top:.2rem}
h3{font-size:1.02rem;margin:0 0 .5rem}
p{margin:.4rem 0 .8rem;max-width:78ch}
a{color:var(--accent)}
.lead{color:var(--quiet);font-size:1.05rem;margin:0}
nav{position:sticky;top:0;z-index:2;background:var(--paper);border-block:1px solid var(--line)}
nav ul{display:flex;gap:.2rem 1.25rem;list-style:none;max-width:1120px;margin:0 auto;
padding:.6rem 1.25rem;overflow-x:auto;font-size:.92rem;white-space:nowrap}
nav a{color:var(--ink);text-decoration:none;padding:.2rem 0}
nav a:hover,nav a:focus-visible{color:var(--accent);text-decoration:underline}
section{padding:2rem 0 1rem;border-bottom:1px solid var(--line)}
section:last-of-type{border:0}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(190px,1fr));gap:.8rem;
margin:1.2rem 0 1.3rem;padding:0;list-style:none}
.cards li{background:var(--paper);border:1px solid var(--line);border-radius:10px;
padding:.75rem .95rem;font-size:.9rem;color:var(--quiet);line-height:1.4}
.cards strong{display:block;color:var(--ink);font-size:1.25rem;line-height:1.3;
font-variant-numeric:tabular-nums}
.good strong{color:var(--good)}.bad strong{color:var(--bad)}
figure{background:var(--paper);border:1px solid var(--line);border-radius:10px;margin:0 0 1.5rem;
padding:1rem 1.1rem .9rem;break-inside:avoid}
figure img{display:block;width:100%;height:auto;margin:0 auto;border-radius:4px}
figure a.look{display:block;cursor:zoom-in}
figure img.raster{background:#ffffff}
figcaption{color:var(--quiet);font-size:.92rem;margin-top:.7rem;max-width:95ch}
figcaption .note{display:block;margin-top:.25rem;font-size:.84rem;overflow-wrap:anywhere}
.files{display:flex;gap:.7rem;font-size:.84rem;margin-top:.3rem}
.lacking{border:1px dashed var(--line);border-radius:10px;padding:.7rem 1.1rem;margin:0 0 1rem;
color:var(--quiet);font-size:.94rem}
.lacking code{color:var(--ink)}
.failed{border-color:var(--bad);border-style:solid}
.scroll{overflow-x:auto;margin:0 0 1.3rem;background:var(--paper);border:1px solid var(--line);
border-radius:10px}
table{border-collapse:collapse;width:100%;font-size:.92rem;font-variant-numeric:tabular-nums}
th,td{padding:.45rem .8rem;text-align:left;vertical-align:top;border-top:1px solid var(--line)}
thead th{border-top:0;color:var(--quiet);font-weight:600;white-space:nowrap}
tbody th{font-weight:600}
td.number,th.number{text-align:right;white-space:nowrap}
.code{white-space:nowrap}
code,.code{font:.88em/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;
overflow-wrap:anywhere}
td small{color:var(--quiet)}
details{margin:0 0 1.3rem}
summary{cursor:pointer;color:var(--accent);padding:.3rem 0;font-size:.95rem}
.side{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(440px,100%),1fr));gap:1.1rem}
footer{color:var(--quiet);font-size:.85rem;padding:1.2rem 0 2.5rem}
dialog{border:0;padding:0;background:transparent;max-width:97vw;max-height:97vh}
dialog img{display:block;width:min(96vw,1800px);max-height:95vh;object-fit:contain;
background:var(--paper);border-radius:8px;padding:.6rem;cursor:zoom-out}
dialog::backdrop{background:rgb(0 0 0/.72)}
@media(max-width:640px){body{font-size:15px}h1{font-size:1.5rem}figure{padding:.6rem}}
@media print{:root{color-scheme:light;--good:#00684a;--bad:#a33f00}
:root{--ground:#fff;--paper:#fff;--ink:#222;--quiet:#444;--line:#bbb;--accent:#004a75}
nav,.files,dialog{display:none}body{font-size:10.5pt}section{padding:.8rem 0}
figure,.scroll{border:0;padding:0}header{padding:0 0 .5rem}h2{break-after:avoid}}
"""

JS = """
(()=>{const box=document.createElement("dialog"),big=document.createElement("img");
box.append(big);document.body.append(box);box.addEventListener("click",()=>box.close());
for(const link of document.querySelectorAll("a.look"))link.addEventListener("click",event=>{
if(event.metaKey||event.ctrlKey||event.shiftKey||!box.showModal)return;event.preventDefault();
const img=link.querySelector("img");big.src=img.src;big.alt=img.alt;box.showModal()});
})();
"""
