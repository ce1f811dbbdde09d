import pytest

from meshtwin.errors import InvalidInput
from meshtwin.library import read_scenario, simulate
from meshtwin.plotting import draw_network, draw_results, save_picture

PLACED = """
format: meshtwin.dev/scenario/v1
name: row
radio: {model: logDistance}
defaults: {relay: true, ttl: 4}
nodes:
  - {address: "0001", positionM: [0, 0]}
  - {address: "0002", positionM: [5, 3]}
  - {address: "0003", positionM: [10, 0], relay: false}
  - {address: "0004", positionM: [14, 6], poweredOn: false}
flows:
  - {name: press, source: "0001", destination: "0003", count: 5, periodSeconds: 1}
  - {name: back, source: "0003", destination: "0001", count: 5, periodSeconds: 1}
"""
UNPLACED = """
format: meshtwin.dev/scenario/v1
name: links
nodes: [{address: "0001"}, {address: "0002"}, {address: "0003"}]
links: [{source: "0001", target: "0002", delivery: 0.7}]
flows: [{name: press, source: "0001", destination: "0002", count: 5, periodSeconds: 1}]
"""


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def legend_of(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_picture_of_a_network_names_every_node_and_its_units():
    figure = draw_network(read_scenario(PLACED), gateway=2)
    assert set(texts(figure)) == {"0001", "0002", "0003", "0004"}
    assert figure.axes[0].get_xlabel() == "x, m"
    assert {"relay", "no relay", "switched off", "gateway", "source of a flow"} <= set(legend_of(figure))


def test_network_without_positions_is_laid_out_and_shows_no_scale():
    figure = draw_network(read_scenario(UNPLACED))
    assert "no scale" in figure.axes[0].get_xlabel()
    assert list(figure.axes[0].get_xticks()) == []


def test_link_is_drawn_for_its_worse_direction():
    assert "0.6 to 0.9" not in legend_of(draw_network(read_scenario(UNPLACED)))  # the way back delivers nothing
    way_back = '{source: "0002", target: "0001", delivery: 0.65}]'
    both = UNPLACED.replace("delivery: 0.7}]", "delivery: 0.7}, " + way_back)
    assert "0.6 to 0.9" in legend_of(draw_network(read_scenario(both)))


def test_picture_of_a_result_has_a_curve_and_an_interval_per_flow():
    document = simulate(PLACED, replications=2, engine="reference").document
    figure = draw_results([document])
    curves, delivery = figure.axes
    assert len(curves.lines) >= 2
    assert [label.get_text() for label in delivery.get_yticklabels()] == ["press", "back"]
    assert curves.get_xlabel() == "latency, ms"


def test_curve_has_a_pointwise_band_and_none_of_one_replication():
    several, one = (simulate(PLACED, replications=n, engine="reference").document for n in (6, 1))
    curves = draw_results([several]).axes[0]
    assert curves.get_title(loc="left") == "When messages arrive (bands: 90% intervals, pointwise; pale: open)"
    assert len({tuple(part.get_facecolor()[0][:3]) for part in curves.collections}) == 2  # a flow each
    curves = draw_results([one]).axes[0]
    assert curves.get_title(loc="left") == "When messages arrive"
    assert not curves.collections


def test_curve_is_in_its_band_or_in_the_pale_part_of_it():
    (flow, _), document = (of := simulate(PLACED, replications=6, engine="reference").document).flows, of
    places = [*flow.latency_milliseconds.curve]
    curves = draw_results([document], flows=[flow.name]).axes[0]
    shades = [part.get_paths()[0] for part in curves.collections]
    for place in (1, 30, 50, 70, 99):
        height = (place + 0.001) / 100.0 * flow.delivery_ratio.estimate
        assert any(shade.contains_point((places[place], height), radius=1e-6) for shade in shades), place


def test_point_that_is_wide_by_chance_makes_no_spike():
    (flow, *_), document = (of := simulate(PLACED, replications=6, engine="reference").document).flows, of
    bounds = flow.latency_milliseconds.curve_bounds
    middle = next(place for place in range(50, 101) if bounds.high[place] is not None)
    bounds.high[middle] = 10_000.0
    curves = draw_results([document], flows=[flow.name]).axes[0]
    vertices = [vertex for part in curves.collections for vertex in part.get_paths()[0].vertices]
    last = (sum(high is not None for high in bounds.high) - 1) / 100.0
    spikes = [share for at_ms, share in vertices if at_ms == 10_000.0]
    assert min(spikes) >= (last - 0.001) * flow.delivery_ratio.estimate  # where the band ends


def test_two_results_stand_side_by_side():
    document = simulate(PLACED, replications=2, engine="reference").document
    labels = [label.get_text() for label in draw_results([document, document]).axes[1].get_yticklabels()]
    assert labels == ["press, row (first)", "press, row (second)", "back, row (first)", "back, row (second)"]


def test_more_than_two_results_of_one_name_are_numbered():
    document = simulate(PLACED, replications=2, engine="reference").document
    other = document.model_copy(update={"scenario": "column"})
    figure = draw_results([document, other, document], flows=["press"])
    labels = [label.get_text() for label in figure.axes[1].get_yticklabels()]
    assert labels == ["press, row (1)", "press, column", "press, row (2)"]


def test_unknown_flow_is_refused():
    with pytest.raises(InvalidInput, match="'lost' is not one of press, back"):
        draw_results([simulate(PLACED, replications=2, engine="reference").document], flows=["lost"])


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_equal_pictures_are_equal_files(suffix, tmp_path):
    for name in ("a", "b"):
        save_picture(draw_network(read_scenario(PLACED)), tmp_path / (name + suffix))
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_picture_of_another_format_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match=r"n\.bmp ends in none of \.png, \.svg, \.pdf"):
        save_picture(draw_network(read_scenario(PLACED)), tmp_path / "n.bmp")
